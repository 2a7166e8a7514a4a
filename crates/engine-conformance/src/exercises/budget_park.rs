//! A run that has spent its budget is parked before its next attempt, and goes on when the budget is raised.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("ask model"), &json!(1)).await?;
        cx.step(Ask::of("ask model"), &json!(2)).await
    });
    let budget = Some(Budget::usd(Money::from_cents(10)));
    let main = main.with(WorkflowOptions { budget, ..WorkflowOptions::default() });
    Code::new().workflow(main).step(model(world))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("parked: question about ask model (budget)").await?;
        stage.wait(2).await?;
        let (usd, by) = (Money::from_cents(10), "ann".to_owned());
        stage.send(Message::RaiseBudget { usd, tokens: 0, by }).await?;
        completed(stage).await
    })
}

exercise!("budget_park", "a run without budget waits for more of it");

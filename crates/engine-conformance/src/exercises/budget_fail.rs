//! A budget that is to fail the run does so before the next attempt, and the run undoes its steps.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("ask model"), &json!(1)).compensate(Ask::of("forget"), |answer| answer).await?;
        cx.step(Ask::of("ask model"), &json!(2)).await
    });
    let budget = Some(Budget { on_reached: OnReached::Fail, ..Budget::usd(Money::from_cents(10)) });
    let main = main.with(WorkflowOptions { budget, ..WorkflowOptions::default() });
    Code::new().workflow(main).step(model(world)).step(world.effect_step("forget"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        failed(stage, Class::Budget).await
    })
}

exercise!("budget_fail", "a run without budget fails if it is to, and undoes its steps");

//! A run that failed and undid nothing is tried again from before the step that failed. Signals that it got stay.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("work"), &json!(1)).await?;
        let broken = cx.step(Ask::of("broken"), &json!(2)).await;
        let approved: Value = cx.signal("approve").await?;
        broken?;
        Ok(approved)
    });
    Code::new()
        .workflow(main)
        .step(world.effect_step("work"))
        .step(world.broken_step("broken", Class::InvalidRequest))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("signal approve is awaited").await?;
        stage.signal("approve", "by ann").await?;
        failed(stage, Class::InvalidRequest).await?;
        stage.send_refused(Message::Pause { reason: "late".to_owned(), by: "ann".to_owned() }).await?;
        stage.world.mend();
        stage.retry().await?;
        let result = stage.result().await?;
        demand(result == RunResult::Completed(payload("by ann")), "it goes on, with the signal it had got")?;
        demand(stage.world.effects() == ["work 1", "broken 2"], "what was done is not done again")
    })
}

exercise!("rewind", "a failed run is tried again from the step that failed");

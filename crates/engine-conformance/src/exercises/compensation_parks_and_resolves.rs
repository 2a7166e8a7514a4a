//! A compensation that fails for good parks the run; a person has it tried again, or says that it is done.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("train")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.step(Ask::of("book"), &json!("hotel")).compensate(Ask::of("gone"), |booked| booked).await?;
        cx.step(Ask::of("book"), &json!("flight")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.step(Ask::of("pay"), &json!(1)).await
    });
    Code::new()
        .workflow(main)
        .step(world.effect_step("book"))
        .step(world.broken_step("undo", Class::Permission))
        .step(world.failing_step("gone", Class::NotFound))
        .step(world.failing_step("pay", Class::Permission))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("parked: question about undo (compensation_failed)").await?;
        stage.world.mend();
        stage.resolve(Resolution::Retry).await?;
        stage.until("parked: question about gone (compensation_failed)").await?;
        stage.resolve(Resolution::Done(payload("by phone"))).await?;
        match stage.result().await? {
            RunResult::Failed { compensated: 3, resolved: 1, .. } => Ok(()),
            other => demand(false, &format!("three are undone, one of them by hand: {other:?}")),
        }
    })
}

exercise!(
    "compensation_parks_and_resolves",
    "a compensation that fails waits for a person, with the rest still to do"
);

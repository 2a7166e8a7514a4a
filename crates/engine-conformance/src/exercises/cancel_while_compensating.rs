//! Compensations are shielded: a cancellation that comes while they run changes nothing.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("hotel")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.step(Ask::of("book"), &json!("flight")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.step(Ask::of("pay"), &json!(1)).await
    });
    let undo = world.step("undo", |turn| async move {
        tokio::time::sleep(TICK * 2).await;
        turn.effect();
        Ok(turn.input)
    });
    Code::new()
        .workflow(main)
        .step(world.effect_step("book"))
        .step(undo)
        .step(world.failing_step("pay", Class::Permission))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("step undo given \"flight\", undoing step book#2").await?;
        stage.cancel().await?;
        failed(stage, Class::Permission).await?;
        let effects = ["book \"hotel\"", "book \"flight\"", "undo \"flight\"", "undo \"hotel\""];
        demand(stage.world.effects() == effects, "all is undone, once")
    })
}

exercise!("cancel_while_compensating", "a cancellation does not reach compensations");

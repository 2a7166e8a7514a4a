//! Compensations run in the reverse order of the start of their steps, however these ended.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let book = |what: &str| {
            cx.step(Ask::of("book"), &json!(what))
                .compensate(Ask::of("cancel"), |booked| booked)
                .into_future()
        };
        // The flight is asked for first and ends last.
        let (flight, hotel) = futures_util::join!(book("flight"), book("hotel"));
        flight.and(hotel)?;
        book("car").await?;
        cx.step(Ask::of("pay"), &json!(1)).await
    });
    let slow_flight = world.step("book", |turn| async move {
        if turn.input == json!("flight") {
            tokio::time::sleep(TICK).await;
        }
        turn.effect();
        Ok(turn.input)
    });
    Code::new()
        .workflow(main)
        .step(slow_flight)
        .step(world.effect_step("cancel"))
        .step(world.failing_step("pay", Class::Permission))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        match stage.result().await? {
            RunResult::Failed { compensated: 3, resolved: 0, .. } => Ok(()),
            other => demand(false, &format!("three steps are undone: {other:?}")),
        }
    })
}

exercise!("compensation_order", "steps are undone in the reverse order of their start");

//! What an attempt said last is there for the next one.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main =
        workflow_fn("main", |cx: Context, _: Value| async move { cx.step(Ask::of("copy"), &json!(1)).await });
    let copy = world.step("copy", |turn| async move {
        if turn.number == 1 {
            turn.cx.heartbeat(&json!({ "copied": 1 }))?;
            tokio::time::sleep(TICK * 2).await;
            turn.cx.heartbeat(&json!({ "copied": 2 }))?;
            return Err(Failure::new(Class::Connection, "cut"));
        }
        turn.effect();
        Ok(turn.cx.progress::<Value>()?.unwrap_or_default())
    });
    Code::new().workflow(main).step(copy)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        let result = stage.result().await?;
        demand(
            result == RunResult::Completed(payload(json!({ "copied": 2 }))),
            "the next attempt goes on from there",
        )
    })
}

exercise!("heartbeat_progress", "an attempt goes on from what the one before it said last");

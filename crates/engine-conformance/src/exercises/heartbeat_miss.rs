//! An attempt that falls silent is dropped and tried again.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("stream").with(|options| options.timeouts.heartbeat = Some(TICK * 2)), &json!(1))
            .await
    });
    let stream = world.step("stream", |turn| async move {
        for chunk in 1..=3 {
            turn.cx.heartbeat(&chunk)?;
            tokio::time::sleep(TICK * 3 / 2).await;
        }
        if turn.number == 1 {
            std::future::pending::<()>().await;
        }
        turn.effect();
        Ok(json!("whole"))
    });
    Code::new().workflow(main).step(stream)
}

exercise!("heartbeat_miss", "a silent attempt is dropped as stalled and tried again", completes);

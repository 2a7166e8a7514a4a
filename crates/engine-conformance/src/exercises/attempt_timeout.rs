//! An attempt that takes too long is cut, may have had its effect, and is tried again.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("slow"), &json!(1)).timeout(TICK * 2).await
    });
    let slow = world.step("slow", |turn| async move {
        turn.effect();
        if turn.number == 1 {
            std::future::pending::<()>().await;
        }
        Ok(json!("done"))
    });
    Code::new().workflow(main).step(slow)
}

exercise!("attempt_timeout", "no attempt takes longer than its limit", completes);

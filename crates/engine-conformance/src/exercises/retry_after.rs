//! A wait that the target asks for is never cut short.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let before = cx.now();
        let done = cx.step(Ask::of("limited"), &json!(1)).await?;
        if cx.now().since(before) < TICK * 3 {
            return Err(Failure::new(Class::Bug, "came back too early"));
        }
        Ok(done)
    });
    let limited = world.step("limited", |turn| async move {
        if turn.number == 1 {
            return Err(Failure::new(Class::RateLimited, "slow down").status(429).retry_after(TICK * 3));
        }
        turn.effect();
        Ok(json!("done"))
    });
    Code::new().workflow(main).step(limited)
}

exercise!("retry_after", "a retry comes no earlier than the target asked", completes);

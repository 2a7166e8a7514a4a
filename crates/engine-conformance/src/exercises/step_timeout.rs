//! A step is given up when the time for all its attempts and waits is over.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let limited = Ask::of("down").attempts(100).with(|options| {
            options.timeouts.step = TICK * 3;
            options.retry.backoff = Backoff::Fixed(TICK * 2);
        });
        cx.step(limited, &json!(1)).await
    });
    Code::new().workflow(main).step(world.failing_step("down", Class::Server))
}

exercise!("step_timeout", "a step has a limit over all its attempts", fails);

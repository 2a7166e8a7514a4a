//! A step that fails with a class that is retried is tried again after a wait, until it succeeds.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main =
        workflow_fn(
            "main",
            |cx: Context, _: Value| async move { cx.step(Ask::of("flaky"), &json!(1)).await },
        );
    let flaky = world.step("flaky", |turn| async move {
        if turn.number < 3 {
            return Err(Failure::new(Class::Server, format!("busy the {}. time", turn.number)).status(500));
        }
        turn.effect();
        Ok(json!("done"))
    });
    Code::new().workflow(main).step(flaky)
}

exercise!("retry", "a failed attempt is tried again until one succeeds", completes);

//! A step that fails too often, or with a class that is never retried, fails the run; its failure says how often it was tried.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let refused = cx.step(Ask::of("refused"), &json!(1)).await;
        if !refused.is_err_and(|failure| failure.class == Class::InvalidRequest && failure.attempts >= 1) {
            return Err(Failure::new(Class::Bug, "an invalid request is not to be tried again"));
        }
        cx.step(Ask::of("down").attempts(2), &json!(1)).await
    });
    Code::new()
        .workflow(main)
        .step(world.failing_step("refused", Class::InvalidRequest))
        .step(world.failing_step("down", Class::Server))
}

exercise!(
    "retry_given_up",
    "a step stops being tried when its attempts are used up or its class forbids it",
    fails
);

//! Data over the limit fails the step with a reason, before it reaches the journal.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let large = json!("x".repeat(Payload::BYTES_MAX));
        let given = cx.step(Ask::of("take"), &large).await;
        if !given.is_err_and(|failure| failure.class == Class::InvalidRequest) {
            return Err(Failure::new(Class::Bug, "an input over the limit was taken"));
        }
        cx.step(Ask::of("give"), &json!(1)).await
    });
    let give = world.step("give", |_| async move { Ok(json!("x".repeat(Payload::BYTES_MAX))) });
    Code::new().workflow(main).step(world.effect_step("take")).step(give)
}

exercise!("payload_too_large", "data over the limit is refused with a reason", fails);

//! Data over the limit fails the step with a reason, before it reaches the journal.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main =
        workflow_fn("main", |cx: Context, _: Value| async move { cx.step(Ask::of("give"), &json!(1)).await });
    let give = world.step("give", |_| async move { Ok(json!("x".repeat(Payload::BYTES_MAX))) });
    Code::new().workflow(main).step(give)
}

exercise!("payload_too_large", "data over the limit is refused with a reason", fails);

//! A step that failed for certain every time needs no undoing, also if it was to be undone by its key.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let key_only = |_: &str| json!("by key");
        cx.step(Ask::of("charge").attempts(2), &json!(5))
            .compensate_uncertain(Ask::of("void"), key_only)
            .await
    });
    Code::new()
        .workflow(main)
        .step(world.failing_step("charge", Class::Server))
        .step(world.effect_step("void"))
}

const WHY: &str = "an attempt that was lost with its process may have had its effect, so the step is undone";

exercise!(
    "compensation_forgotten",
    "a step that certainly had no effect is not undone",
    plain_fails,
    Crashes::ChangeEffects(WHY)
);

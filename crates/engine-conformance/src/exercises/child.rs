//! A parent waits for its children and gets their outputs and failures.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let good = cx.child(child_of("good"), &json!(1)).await?;
        let bad = cx.child(child_of("bad"), &json!(2)).await;
        Ok(json!([good, bad.err().map(|failure| failure.class.to_string())]))
    });
    let good =
        workflow_fn(
            "good",
            |cx: Context, input: Value| async move { cx.step(Ask::of("work"), &input).await },
        );
    let bad = workflow_fn("bad", |cx: Context, input: Value| async move {
        cx.step(Ask::of("refused"), &input).compensate(Ask::of("undo"), |_| json!(2)).await
    });
    Code::new()
        .workflow(main)
        .workflow(good)
        .workflow(bad)
        .step(world.effect_step("work"))
        .step(world.effect_step("undo"))
        .step(world.failing_step("refused", Class::InvalidRequest))
}

exercise!("child", "a child run is carried out once, and its parent gets what came of it", completes);

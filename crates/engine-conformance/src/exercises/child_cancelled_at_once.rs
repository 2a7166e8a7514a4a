//! A parent is told to stop at the very moment at which it asks for a child.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main =
        workflow_fn(
            "main",
            |cx: Context, _: Value| async move { cx.child(child_of("work"), &json!(1)).await },
        );
    let work = workflow_fn("work", |cx: Context, _: Value| async move {
        cx.step(Ask::of("forever"), &json!(1)).compensate(Ask::of("undo"), |done| done).await
    });
    Code::new().workflow(main).workflow(work).step(endless(world, "forever")).step(world.effect_step("undo"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.cancel().await?;
        failed(stage, Class::Cancelled).await
    })
}

const WHY: &str = "the child may be cancelled before or after it has asked for its step";

exercise!(
    "child_cancelled_at_once",
    "a cancellation that meets a child's start loses neither",
    Crashes::ChangeTheStory(WHY)
);

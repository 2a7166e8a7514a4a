//! A parent that is told to stop tells its children, waits until they have undone their steps, and then undoes its own.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("parent's")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.child(child_of("work"), &json!(1)).await
    });
    let work = workflow_fn("work", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("child's")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.signal::<Value>("never").await
    });
    Code::new().workflow(main).workflow(work).step(world.effect_step("book")).step(world.effect_step("undo"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("child work asked for").await?;
        stage.wait(1).await?;
        stage.cancel().await?;
        failed(stage, Class::Cancelled).await?;
        let effects = ["book \"parent's\"", "book \"child's\"", "undo \"child's\"", "undo \"parent's\""];
        demand(stage.world.effects() == effects, "children undo their steps before their parent does")
    })
}

exercise!("child_cancelled", "a cancelled run's children are cancelled first");

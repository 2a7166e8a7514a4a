//! A run whose time is over is told to stop, undoes its steps, and ends as timed out.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("hotel")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.child(child_of("approval"), &json!(1)).await
    });
    let main = main.with(WorkflowOptions { timeout: TICK * 4, budget: None });
    let approval =
        workflow_fn("approval", |cx: Context, _: Value| async move { cx.signal::<Value>("approve").await });
    Code::new()
        .workflow(main)
        .workflow(approval)
        .step(world.effect_step("book"))
        .step(world.effect_step("undo"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        failed(stage, Class::Timeout).await
    })
}

exercise!("run_deadline", "a run ends when its time is over, and undoes its steps");

//! A run that is told to stop drops what it does, undoes what it did, and ends as cancelled.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("hotel")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.step(Ask::of("think"), &json!(1)).compensate(Ask::of("undo"), |thought| thought).await
    });
    Code::new()
        .workflow(main)
        .step(world.effect_step("book"))
        .step(world.effect_step("undo"))
        .step(endless(world, "think"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("step think given 1").await?;
        stage.cancel().await?;
        failed(stage, Class::Cancelled).await?;
        stage.send_refused(Message::Cancel { reason: "again".to_owned(), by: "ann".to_owned() }).await
    })
}

exercise!("cancel", "a cancelled run undoes its steps and ends");

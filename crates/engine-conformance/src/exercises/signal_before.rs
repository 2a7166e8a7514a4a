//! Signals that come before they are waited for are kept, in their order; a repeat of one is ignored.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.signal::<Value>("go").await?;
        cx.step(Ask::of("work"), &Value::Null).await?;
        let first: Value = cx.signal("item").await?;
        let second: Value = cx.signal("item").await?;
        let third: Value = cx.signal("item").within(TICK).await.unwrap_or(json!("none"));
        Ok(json!([first, second, third]))
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        for item in ["a", "b", "b"] {
            let payload = payload(item);
            let id = Some(item.to_owned());
            stage.send(Message::Signal { name: "item".to_owned(), payload, id }).await?;
        }
        stage.signal("go", ()).await?;
        let result = stage.result().await?;
        demand(
            result == RunResult::Completed(payload(["a", "b", "none"])),
            "signals are taken in their order, once",
        )
    })
}

exercise!("signal_before", "a signal that comes early is kept until it is waited for");

//! A deliberate change of code: runs that were there keep to the old side, new ones take the new side.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("work"), &json!("old")).await?;
        cx.signal::<Value>("go").await?;
        cx.step(Ask::of("work"), &json!("last")).await
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn patched(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        if cx.patched("check first") {
            cx.step(Ask::of("work"), &json!("check")).await?;
        }
        cx.step(Ask::of("work"), &json!("old")).await?;
        cx.signal::<Value>("go").await?;
        if cx.patched("greet") {
            cx.set_status("greeted");
        }
        cx.step(Ask::of("work"), &json!("last")).await
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("signal go is awaited").await?;
        stage.reopen(patched(&stage.world)).await?;
        stage.signal("go", ()).await?;
        completed(stage).await?;
        let new = NewRun { workflow_id: Some(id("second")?), ..NewRun::new("main", Payload::null()) };
        stage.start_main(new).await?;
        stage.until("signal go is awaited").await?;
        stage.signal("go", ()).await?;
        completed(stage).await
    })
}

exercise!("patch", "a run keeps the side of a change on which it began");

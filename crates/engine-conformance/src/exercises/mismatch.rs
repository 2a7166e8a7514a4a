//! A run whose code asks for something else than its journal records is parked; with the old code it goes on.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("work"), &json!(1)).await?;
        cx.signal::<Value>("go").await?;
        cx.step(Ask::of("work"), &json!(2)).await
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn changed(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("other"), &json!(1)).await?;
        cx.signal::<Value>("go").await
    });
    Code::new().workflow(main).step(world.effect_step("other"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("signal go is awaited").await?;
        stage.reopen(changed(&stage.world)).await?;
        stage.signal("go", ()).await?;
        stage.until("parked by the engine: mismatch").await?;
        stage.reopen(code(&stage.world)).await?;
        completed(stage).await?;
        demand(stage.world.effects() == ["work 1", "work 2"], "the changed code did nothing")
    })
}

exercise!("mismatch", "a run whose code no longer fits its journal is parked, and loses nothing");

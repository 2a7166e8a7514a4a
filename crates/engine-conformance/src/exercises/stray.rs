//! A workflow that waits for something that is no operation is parked, for nothing could ever wake it.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("work"), &json!(1)).await?;
        std::future::pending::<()>().await;
        Ok(json!("never"))
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn mended(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("work"), &json!(1)).await?;
        cx.sleep(TICK).await?;
        Ok(json!("slept"))
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("parked by the engine: stray").await?;
        stage.reopen(mended(&stage.world)).await?;
        completed(stage).await
    })
}

exercise!("stray", "a run that nothing could wake is parked");

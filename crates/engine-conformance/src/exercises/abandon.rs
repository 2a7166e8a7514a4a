//! What a workflow drops is stopped: a step that lost a race, and one that was dropped before it could begin.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let mut never = cx.step(Ask::of("never"), &json!(0)).queue("narrow").into_future();
        let _ = futures_util::poll!(&mut never);
        drop(never);
        let search = cx.step(Ask::of("search"), &json!(1)).queue("narrow").into_future();
        let enough = cx.signal::<Value>("enough").into_future();
        match futures_util::future::select(enough, search).await {
            futures_util::future::Either::Left((enough, _)) => enough?,
            futures_util::future::Either::Right((found, _)) => found?,
        };
        cx.step(Ask::of("report"), &json!(2)).queue("narrow").await
    });
    Code::new()
        .workflow(main)
        .step(world.effect_step("never"))
        .step(endless(world, "search"))
        .step(world.effect_step("report"))
        .queue("narrow", 1)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("step search given 1").await?;
        stage.wait(1).await?;
        stage.signal("enough", true).await?;
        completed(stage).await?;
        demand(stage.world.effects() == ["search 1", "report 2"], "what was dropped at once never began")
    })
}

exercise!("abandon", "what a workflow drops is stopped, and gives its place back");

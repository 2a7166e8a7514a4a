//! A fork keeps its parent's journal up to an event. What it repeats, it repeats under the parent's keys, unless told
//! otherwise.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let first = cx.step(Ask::of("charge"), &json!(1)).await?;
        let drawn = cx.random();
        let second = cx.step(Ask::of("charge"), &json!(2)).await?;
        Ok(json!([first, second, drawn == cx.random()]))
    });
    Code::new().workflow(main).step(world.effect_step("charge"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        completed(stage).await?;
        let succeeded =
            |kind: &EventKind| matches!(kind, EventKind::AttemptEnded { result: Ended::Ok(_), .. });
        let first = stage.events()?.iter().position(|event| succeeded(&event.kind));
        let event = first.map_or(0, |place| place as u64 + 1);
        let fork = stage.fork(event, ForkKeys::Parent).await?;
        stage.result_of(fork).await?;
        demand(
            stage.world.effects() == ["charge 1", "charge 2"],
            "under the parent's keys nothing is done twice",
        )?;
        let fork = stage.fork(event, ForkKeys::Own).await?;
        stage.result_of(fork).await?;
        demand(
            stage.world.effects() == ["charge 1", "charge 2", "charge 2"],
            "under its own keys it is done anew",
        )
    })
}

exercise!("fork", "a fork goes on from an event of its parent");

//! A workflow id that is started twice is started once, while its run is open and after.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("work"), &json!(1)).await?;
        cx.signal::<Value>("go").await
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        let run = stage.start().await?;
        demand(stage.start().await? == run, "the open run is given")?;
        stage.signal("go", true).await?;
        completed(stage).await?;
        demand(stage.start().await? == run, "the ended run is given")?;
        let new = NewRun { on_duplicate: OnDuplicate::Fail, ..NewRun::new("main", Payload::null()) };
        match stage.start_as(new).await? {
            Err(EngineError::Duplicate { run: taken_by, .. }) => demand(taken_by == run, "it names the run"),
            other => demand(false, &format!("a second start is refused: {other:?}")),
        }
    })
}

exercise!("duplicate_start", "a workflow id is started once");

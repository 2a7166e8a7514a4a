//! A step that no process has parks the run; a process that has it goes on.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("work"), &json!(1)).await?;
        cx.step(Ask::of("late"), &json!(2)).await
    });
    Code::new().workflow(main).step(world.effect_step("work"))
}

fn whole(world: &World) -> Code {
    code(world).step(world.effect_step("late"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("parked by the engine: no_code").await?;
        stage.reopen(code(&stage.world)).await?;
        stage.wait(1).await?;
        stage.reopen(whole(&stage.world)).await?;
        completed(stage).await?;
        demand(stage.world.effects() == ["work 1", "late 2"], "each is done once")
    })
}

exercise!("unknown_step", "a run whose step nobody has waits for a process that has it");

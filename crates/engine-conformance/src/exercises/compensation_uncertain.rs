//! A step whose outcome stays unknown is undone by its key, although it never succeeded.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let key_only = |_: &str| json!("by key");
        cx.step(Ask::of("charge").attempts(1), &json!(5))
            .compensate_uncertain(Ask::of("void"), key_only)
            .await
    });
    let charge = world.step("charge", |turn| async move {
        turn.effect();
        Err(Failure::new(Class::Connection, "no answer came").ambiguous())
    });
    Code::new().workflow(main).step(charge).step(world.effect_step("void"))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        failed(stage, Class::Connection).await?;
        demand(stage.world.effects() == ["charge 5", "void \"by key\""], "what may have happened is undone")
    })
}

exercise!("compensation_uncertain", "a step that may have had its effect is undone by its key");

//! Undoing goes on when the run's time is over meanwhile.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("hotel")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.step(Ask::of("pay"), &json!(1)).await
    });
    let main = main.with(WorkflowOptions { timeout: TICK * 3, budget: None });
    let undo = world.step("undo", |turn| async move {
        tokio::time::sleep(TICK * 2).await;
        if turn.number < 3 {
            return Err(Failure::new(Class::Server, "busy"));
        }
        turn.effect();
        Ok(turn.input)
    });
    Code::new()
        .workflow(main)
        .step(world.effect_step("book"))
        .step(undo)
        .step(world.failing_step("pay", Class::Permission))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        failed(stage, Class::Permission).await?;
        demand(stage.world.effects() == ["book \"hotel\"", "undo \"hotel\""], "all is undone")
    })
}

const WHY: &str = "the end of the run's time may fall on another place of the story";

exercise!(
    "run_deadline_while_compensating",
    "a run's deadline does not stop its compensations",
    Crashes::ChangeTheStory(WHY)
);

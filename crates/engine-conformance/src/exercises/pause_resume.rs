//! A paused run lets attempts under way end and starts none, until it is resumed; time in the pause fails nothing.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("slow"), &json!(1)).await?;
        let both = [2, 3].map(|n| {
            let hasty = Ask::of("quick").attempts(1).with(|options| options.timeouts.queue = TICK * 2);
            cx.step(hasty, &json!(n)).queue("narrow").into_future()
        });
        cx.join_all(both).await
    });
    let slow = world.step("slow", |turn| async move {
        tokio::time::sleep(TICK * 2).await;
        turn.effect();
        Ok(turn.input)
    });
    Code::new().workflow(main).step(slow).step(world.effect_step("quick")).queue("narrow", 1)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("step slow given 1").await?;
        stage.send(Message::Pause { reason: "look at it".to_owned(), by: "ann".to_owned() }).await?;
        stage.wait(6).await?;
        demand(!stage.world.effects().contains(&"quick 2".to_owned()), "nothing starts during a pause")?;
        stage.send(Message::Resume { by: "ann".to_owned() }).await?;
        completed(stage).await
    })
}

const WHY: &str = "an attempt that is lost during the pause is tried again after it";

exercise!("pause_resume", "a paused run starts no attempt", Crashes::ChangeTheStory(WHY));

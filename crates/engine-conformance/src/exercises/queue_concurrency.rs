//! No more attempts of a queue run at once than it allows; among those that wait, the more urgent go first.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let call = |number: u32, priority: i8| {
            cx.step(Ask::of("call"), &json!(number)).queue("narrow").priority(priority).into_future()
        };
        cx.join_all([call(1, 0), call(2, 0), call(3, 0), call(4, 1)]).await
    });
    let call = world.step("call", |turn| async move {
        let _at_work = turn.at_work();
        tokio::time::sleep(TICK).await;
        turn.effect();
        Ok(turn.input)
    });
    Code::new().workflow(main).step(call).queue("narrow", 1)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        completed(stage).await?;
        demand(stage.world.at_once_max() == 1, "one at a time")
    })
}

const WHY: &str = "who waits is admitted before an attempt that was lost is asked for again";

exercise!(
    "queue_concurrency",
    "a queue lets no more attempts run at once than it allows",
    Crashes::ChangeTheStory(WHY)
);

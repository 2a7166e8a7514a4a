//! An attempt that finds no place in its queue in time fails, without having begun.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let first = cx.step(Ask::of("call"), &json!(1)).queue("narrow").into_future();
        let hasty = Ask::of("call").attempts(1).with(|options| options.timeouts.queue = TICK);
        let second = cx.step(hasty, &json!(2)).queue("narrow").into_future();
        let (first, second) = futures_util::join!(first, second);
        Ok(json!([first?, second.err().map(|failure| failure.class.to_string())]))
    });
    let call = world.step("call", |turn| async move {
        tokio::time::sleep(TICK * 3).await;
        turn.effect();
        Ok(turn.input)
    });
    Code::new().workflow(main).step(call).queue("narrow", 1)
}

const WHY: &str = "who waits may be admitted before an attempt that was lost is asked for again";

exercise!(
    "queue_timeout",
    "a wait for a place in a queue has a limit",
    plain_completes,
    Crashes::ChangeEffects(WHY)
);

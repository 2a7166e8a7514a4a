//! A signal wakes the run that waits for it; of several waits the oldest takes it.

use super::prelude::*;

fn code(_: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let first = cx.signal::<Value>("item").into_future();
        let second = cx.signal::<Value>("item").into_future();
        let (first, second) = futures_util::join!(first, second);
        Ok(json!([first?, second?]))
    });
    Code::new().workflow(main)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("signal item#2 is awaited").await?;
        stage.signal("other", "not meant").await?;
        stage.signal("item", "a").await?;
        stage.signal("item", "b").await?;
        let result = stage.result().await?;
        demand(result == RunResult::Completed(payload(["a", "b"])), "the oldest wait takes the first signal")
    })
}

exercise!("signal_after", "a signal wakes the run that waits for it", Crashes::ChangeNothing);

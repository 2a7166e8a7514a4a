//! A wait for a signal has a limit; a signal that comes in time ends the limit's timer.

use super::prelude::*;

fn code(_: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let late = cx.signal::<Value>("never").within(TICK).await;
        if !late.is_err_and(|failure| failure.class == Class::Timeout) {
            return Err(Failure::new(Class::Bug, "nothing came, and yet"));
        }
        cx.signal::<Value>("approve").within(Duration::from_secs(3600)).await
    });
    Code::new().workflow(main)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("signal approve is awaited").await?;
        stage.signal("approve", true).await?;
        completed(stage).await
    })
}

exercise!("signal_timeout", "a wait for a signal ends in time, with or without it");

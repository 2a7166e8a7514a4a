//! An operator ends the wait before a retry; a second request to do so finds nothing to do.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let before = cx.now();
        let hour = Duration::from_secs(3600);
        let slow = Ask::of("flaky").with(|options| options.retry.backoff = Backoff::Fixed(hour));
        let done = cx.step(slow, &json!(1)).await?;
        if cx.now().since(before) >= hour {
            return Err(Failure::new(Class::Bug, "waited although told not to"));
        }
        cx.signal::<Value>("end").await?;
        Ok(done)
    });
    let flaky = world.step("flaky", |turn| async move {
        if turn.number == 1 { Err(Failure::new(Class::Server, "busy")) } else { Ok(json!("done")) }
    });
    Code::new().workflow(main).step(flaky)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("step flaky wait for attempt 2 of 5 (backoff)").await?;
        stage.retry().await?;
        stage.until("signal end is awaited").await?;
        stage.send_refused(Message::Retry { by: "ann".to_owned() }).await?;
        stage.signal("end", ()).await?;
        completed(stage).await
    })
}

exercise!("retry_now", "an operator ends the wait before a retry");

//! A receiver that repeats an old failure for a step's key makes the run wait for a person: a new key could do it twice.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main =
        workflow_fn(
            "main",
            |cx: Context, _: Value| async move { cx.step(Ask::of("charge"), &json!(5)).await },
        );
    Code::new().workflow(main).step(world.failing_step("charge", Class::ReplayedFailure))
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("parked: question about charge (replayed_failure)").await?;
        stage.resolve(Resolution::Retry).await?;
        stage.until("parked: question about charge (replayed_failure)#2").await?;
        let wrong = Some("other".to_owned());
        let resolution = Resolution::Fail;
        stage.send_refused(Message::Resolve { step: wrong, resolution, by: "ann".to_owned() }).await?;
        stage.resolve(Resolution::Done(payload("charged, says the bank"))).await?;
        let result = stage.result().await?;
        demand(
            result == RunResult::Completed(payload("charged, says the bank")),
            "the person's answer is the output",
        )
    })
}

exercise!("replayed_failure", "a replayed failure is for a person to settle");

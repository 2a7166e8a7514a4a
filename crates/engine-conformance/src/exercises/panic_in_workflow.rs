//! A workflow whose code panics is parked; mended and tried again, it goes on, and what was under way is not begun anew.

use super::prelude::*;

fn code(world: &World) -> Code {
    let outside = world.clone();
    let main = workflow_fn("main", move |cx: Context, _: Value| {
        let outside = outside.clone();
        async move {
            let quick = async {
                let done = cx.step(Ask::of("quick"), &json!(1)).await;
                assert!(outside.is_mended(), "a mistake");
                done
            };
            let slow = cx.step(Ask::of("slow"), &json!(2)).into_future();
            let (quick, slow) = futures_util::join!(quick, slow);
            Ok(json!([quick?, slow?]))
        }
    });
    let slow = world.step("slow", |turn| async move {
        tokio::time::sleep(TICK * 4).await;
        turn.effect();
        Ok(turn.input)
    });
    Code::new().workflow(main).step(world.effect_step("quick")).step(slow)
}

fn script(stage: &mut Stage) -> Told<'_> {
    Box::pin(async move {
        stage.start().await?;
        stage.until("parked by the engine: panicked").await?;
        stage.world.mend();
        stage.retry_unless_recovered().await?;
        completed(stage).await
    })
}

exercise!("panic_in_workflow", "a run whose code panics waits for mended code");

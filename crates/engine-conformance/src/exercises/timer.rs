//! A sleep takes its time, through crashes too.

use super::prelude::*;

fn code(_: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let before = cx.now();
        cx.sleep(TICK * 2).await?;
        cx.sleep(TICK).await?;
        match cx.now().since(before) >= TICK * 3 {
            true => Ok(json!("awake")),
            false => Err(Failure::new(Class::Bug, "woke too early")),
        }
    });
    Code::new().workflow(main)
}

exercise!("timer", "a sleep ends when its time is over, and not before", completes);

//! A step that panics fails as a bug, which no retry mends; nothing else is hurt.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        cx.step(Ask::of("book"), &json!("hotel")).compensate(Ask::of("undo"), |booked| booked).await?;
        cx.step(Ask::of("divide"), &json!(0)).await
    });
    let divide = world.step("divide", |turn| async move {
        assert!(turn.input != json!(0), "division by zero");
        Ok(turn.input)
    });
    Code::new().workflow(main).step(world.effect_step("book")).step(world.effect_step("undo")).step(divide)
}

exercise!("panic_in_step", "a panic in a step is a failure of class bug", fails);

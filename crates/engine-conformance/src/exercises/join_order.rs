//! Steps that run side by side end in the order of the world, and the workflow sees that same order ever after.

use super::prelude::*;

fn code(world: &World) -> Code {
    let main = workflow_fn("main", |cx: Context, _: Value| async move {
        let mut steps: FuturesUnordered<_> = [3, 1, 2]
            .map(|ticks| cx.step(Ask::of("takes"), &json!(ticks)).into_future())
            .into_iter()
            .collect();
        let mut order = Vec::new();
        while let Some(ended) = steps.next().await {
            order.push(ended?);
        }
        cx.sleep(TICK).await?;
        Ok(json!(order))
    });
    let takes = world.step("takes", |turn| async move {
        let ticks = turn.input.as_u64().unwrap_or_default();
        tokio::time::sleep(TICK * u32::try_from(ticks).unwrap_or(0)).await;
        turn.effect();
        Ok(turn.input)
    });
    Code::new().workflow(main).step(takes)
}

exercise!("join_order", "concurrent steps are seen to end in the order in which they did", completes);

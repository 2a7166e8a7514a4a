extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step(timeout = "30x", heartbeat = 30, attempts = 0, budget_usd = "much", key = "run", name = "")]
async fn charge(_cx: StepContext) -> Result<(), Failure> {
    Ok(())
}

#[step(timeout = "1s", timeout = "2s", on_budget = "fail", crate = 7)]
async fn print(_cx: StepContext) -> Result<(), Failure> {
    Ok(())
}

#[step(retry = 3, priority = 300, queue = 1)]
async fn send(_cx: StepContext) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

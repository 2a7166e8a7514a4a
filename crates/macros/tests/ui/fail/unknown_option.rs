extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step(timout = "30s")]
async fn charge(_cx: StepContext) -> Result<(), Failure> {
    Ok(())
}

#[workflow(heartbeat = "30s")]
async fn checkout(_cx: Context) -> Result<(), Failure> {
    Ok(())
}

#[step(timeout)]
async fn print(_cx: StepContext) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

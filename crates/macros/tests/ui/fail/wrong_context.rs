extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step]
async fn charge(cx: Context, order: u64) -> Result<(), Failure> {
    Ok(())
}

#[workflow]
async fn checkout(cx: StepContext, order: u64) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step]
async fn charge(cx: StepContext, order: u64, currency: String) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

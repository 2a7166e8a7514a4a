extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step]
async fn charge<T: ToString>(cx: StepContext, what: T) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

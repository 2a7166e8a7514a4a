extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step]
async fn charge(cx: StepContext, order: &str) -> Result<(), Failure> {
    Ok(())
}

#[step]
async fn print(cx: StepContext, what: impl ToString) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

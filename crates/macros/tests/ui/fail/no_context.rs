extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step]
async fn nothing() -> Result<(), Failure> {
    Ok(())
}

#[step]
async fn input_only(order: u64) -> Result<(), Failure> {
    Ok(())
}

#[workflow]
async fn borrowed(cx: &Context) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

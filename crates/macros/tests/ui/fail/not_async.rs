extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step]
fn charge(cx: StepContext) -> Result<(), Failure> {
    Ok(())
}

#[workflow]
fn checkout(cx: Context) -> Result<(), Failure> {
    Ok(())
}

fn main() {}

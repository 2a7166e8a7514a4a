extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

struct Order;

#[step]
async fn charge(_cx: StepContext, _order: Order) -> Result<(), Failure> {
    Ok(())
}

#[step]
async fn own_error(_cx: StepContext) -> Result<(), String> {
    Ok(())
}

fn main() {}

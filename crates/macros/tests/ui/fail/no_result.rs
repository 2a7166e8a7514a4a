extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[step]
async fn charge(cx: StepContext) {}

#[step]
async fn print(cx: StepContext) -> u64 {
    1
}

#[workflow]
async fn maybe(cx: Context) -> Option<u64> {
    None
}

fn main() {}

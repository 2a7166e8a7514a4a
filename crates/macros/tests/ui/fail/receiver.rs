extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

struct Shop;

impl Shop {
    #[step]
    async fn charge(&self, cx: StepContext) -> Result<(), Failure> {
        Ok(())
    }
}

fn main() {}

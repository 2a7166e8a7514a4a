extern crate midwatch_workflow as midwatch;

#[allow(unused_imports)]
use midwatch::{Context, Failure, StepContext};
#[allow(unused_imports)]
use midwatch_macros::{step, workflow};

#[workflow]
async fn checkout(cx: Context) -> Result<(), Failure> {
    let shared = std::rc::Rc::new(1);
    cx.sleep(std::time::Duration::from_secs(*shared)).await?;
    drop(shared);
    Ok(())
}

fn main() {}

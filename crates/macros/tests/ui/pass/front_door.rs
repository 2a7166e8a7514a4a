//! By default the types are found under `::midwatch`, whatever the surroundings import or shadow.
extern crate midwatch_workflow as midwatch;

use midwatch_macros::{step, workflow};

pub mod payments {
    //! Visibility, docs and attributes stay with the step.
    #![deny(missing_docs, dead_code)]

    use super::step;

    /// An order.
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Order {
        /// In cents.
        pub amount: u64,
    }

    /// Charges a card.
    ///
    /// Twice documented.
    #[step(timeout = "1h30m",)]
    #[allow(clippy::unused_async)]
    pub async fn charge(cx: midwatch::StepContext, Order { amount }: Order) -> Result<u64, midwatch::Failure> {
        cx.heartbeat("charging")?;
        Ok(amount)
    }
}

#[allow(dead_code)]
type Result<T, E = midwatch::Failure> = core::result::Result<T, E>;
#[allow(dead_code)]
struct Option;
#[allow(dead_code)]
struct Default;
/// A name that the expansion must not take.
#[derive(serde::Serialize, serde::Deserialize)]
struct Definition(u8);

#[step]
async fn with_a_type_of_the_users(_: midwatch::StepContext, it: Definition) -> Result<Definition> {
    Ok(Definition(it.0))
}

#[step]
async fn one_argument_result(_: midwatch::StepContext) -> Result<()> {
    Ok(())
}

#[cfg(any())]
#[step]
async fn left_out(_: midwatch::StepContext) -> Result<NoSuchType> {
    Ok(())
}

#[workflow]
async fn checkout(cx: midwatch::Context, amount: u64) -> Result<u64, midwatch::Failure> {
    // A step's name stays free for variables.
    let one_argument_result_ = cx.step(with_a_type_of_the_users, &Definition(1)).await?;
    let with_a_type_of_the_users = one_argument_result_;
    let _ = with_a_type_of_the_users.0;
    cx.step(one_argument_result, &()).await?;
    cx.step(payments::charge, &payments::Order { amount }).compensate(one_argument_result, |_| ()).await
}

fn main() {
    let _ = (midwatch::WorkflowDefinition::of(checkout), midwatch::StepDefinition::of(payments::charge));
    let _copied = (checkout, checkout);
}

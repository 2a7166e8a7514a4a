//! Tests of your own workflows: an engine under a virtual clock, stubbed steps, and a crash at every append.
//!
//! A day's sleep passes in no time, no file is written, and no runtime is needed: these are plain `#[test]` functions.
//!
//! ```
//! use midwatch::testing::TestEngine;
//! use midwatch::{Class, Context, Failure, StepContext, step, workflow};
//! use std::time::Duration;
//!
//! # #[step]
//! # async fn charge_card(_cx: StepContext, cents: u64) -> Result<String, Failure> { Ok(format!("charge of {cents}")) }
//! # #[step]
//! # async fn refund(_cx: StepContext, charge: String) -> Result<(), Failure> { Ok(()) }
//! #[workflow]
//! async fn rent(cx: Context, cents: u64) -> Result<String, Failure> {
//!     let charge = cx.step(charge_card, &cents).compensate(refund, |charge| charge).await?;
//!     cx.sleep(Duration::from_secs(24 * 3600)).await?;
//!     let returned: bool = cx.signal("returned").within(Duration::from_secs(3600)).await?;
//!     Ok(format!("{charge}, returned: {returned}"))
//! }
//!
//! // A step that fails the first time: a stub in its place says so.
//! let engine = TestEngine::with()
//!     .workflow(rent)
//!     .stub("charge_card", |cents: u64, attempt: u32| match attempt {
//!         1 => Err(Failure::new(Class::Server, "try again")),
//!         _ => Ok(format!("charge of {cents}")),
//!     })
//!     .step(refund)
//!     .open();
//! let run = engine.start(rent, 500);
//! engine.pass(Duration::from_secs(25 * 3600 - 60));
//! run.signal("returned", &true);
//! assert_eq!(run.result().unwrap(), "charge of 500, returned: true");
//! assert_eq!(run.attempts("charge_card").len(), 2);
//!
//! // And one line proves that it survives a crash at every append.
//! TestEngine::with()
//!     .workflow(rent)
//!     .step(charge_card)
//!     .step(refund)
//!     .answer("returned", &true)
//!     .crash_everywhere(rent, 500)
//!     .unwrap();
//! ```

mod crash;
mod engine;
mod image;
mod setup;
mod watched;

pub use crash::{Difference, Survived};
pub use engine::{TestAttempt, TestEngine, TestRun};
#[doc(inline)]
pub use midwatch_journal::Status;
pub use setup::TestSetup;

//! An exercise: a promise, and what it takes to see it kept.

use futures_util::future::BoxFuture;

use crate::{Account, Code, Harness, Stage, Trouble, World};

/// What happens to a run from outside, and what must come of it.
pub type Script = for<'a> fn(&'a mut Stage) -> BoxFuture<'a, Result<(), Trouble>>;

/// One promise.
#[derive(Clone, Copy)]
pub struct Exercise {
    /// Its name, that of its file.
    pub name: &'static str,
    /// What is promised, in a sentence.
    pub promise: &'static str,
    /// The code.
    pub code: fn(&World) -> Code,
    /// The script.
    pub script: Script,
    /// The story that must come of it; see [`midwatch_journal::story`].
    pub golden: &'static str,
    /// Whether a crash may change anything.
    pub crashes: Crashes,
}

/// What a crash may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crashes {
    /// Nothing: neither the outcome nor the effects nor the story without its crashes.
    ChangeNothing,
    /// The story, for this reason; whatever the script demands, and the effects, stay.
    ChangeTheStory(&'static str),
    /// The story and the effects, for this reason; whatever the script demands stays.
    ChangeEffects(&'static str),
}

/// Performs an exercise; what came of it is for the caller to compare.
///
/// # Errors
/// If the script's demands, the laws of the journal, or the exactness of lists are broken.
pub async fn perform(exercise: &Exercise, harness: Box<dyn Harness>) -> Result<Account, Trouble> {
    let world = World::default();
    let code = (exercise.code)(&world);
    let mut stage = Stage::open(harness, code, world).await?;
    (exercise.script)(&mut stage).await?;
    stage.settle().await?;
    let account = Account::of(&stage);
    stage.close().await;
    account
}

impl Exercise {
    /// Performs it and compares its story with the golden one.
    ///
    /// # Errors
    /// If they differ, or [`perform`] fails.
    pub async fn check(&self, harness: Box<dyn Harness>) -> Result<Account, Trouble> {
        let account = perform(self, harness).await?;
        let story = account.story();
        if story.trim() != self.golden.trim() {
            return Err(Trouble::new(difference("the golden journal", self.golden, "this one", &story)));
        }
        Ok(account)
    }
}

/// Shows two texts from their first different line on.
pub(crate) fn difference(of: &str, expected: &str, other: &str, found: &str) -> String {
    let same = expected.lines().zip(found.lines()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| -> String { text.lines().skip(same).map(|line| format!("  {line}\n")).collect() };
    format!("from line {} on, {of} has\n{}but {other} has\n{}", same + 1, rest(expected), rest(found))
}

//! How an engine on a server is measured beside the server's own SDK driven by hand: the same steps, on one server, in turns.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

/// Steps of each run.
pub const STEPS: u32 = 10;

/// Runs at once.
const AT_ONCE: usize = 50;

/// Whatever may go wrong in a measurement.
pub type Mishap = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Runs in each round.
    pub runs: usize,
    /// Rounds that count; one more warms up.
    pub rounds: usize,
    /// Runs one after the other.
    pub lone: usize,
}

/// What was measured, as medians.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The engine.
    pub engine: &'static str,
    /// Durable steps a second by midwatch.
    pub steps_per_s: f64,
    /// The same by hand.
    pub direct_steps_per_s: f64,
    /// How much longer a step takes by midwatch, as a fraction.
    pub overhead: f64,
    /// How long a lone run takes by midwatch, in milliseconds.
    pub lone_run_ms: f64,
    /// The same by hand.
    pub direct_lone_run_ms: f64,
}

/// Measures runs of [`STEPS`] steps each: `ours` makes one by midwatch, `theirs` by hand, each under a name of its own.
///
/// # Errors
/// If a run fails.
pub async fn compare<A, B>(
    engine: &'static str,
    amount: Amount,
    ours: impl Fn(String) -> A,
    theirs: impl Fn(String) -> B,
) -> Result<Figures, Mishap>
where
    A: Future<Output = Result<(), Mishap>>,
    B: Future<Output = Result<(), Mishap>>,
{
    let (mut midwatch, mut direct) = (Vec::new(), Vec::new());
    for round in 0..=amount.rounds {
        let by_us = rate(amount.runs, |n| ours(format!("{round}-{n}"))).await?;
        let by_hand = rate(amount.runs, |n| theirs(format!("{round}-{n}"))).await?;
        // The first round warms up.
        if round > 0 {
            midwatch.push(by_us);
            direct.push(by_hand);
        }
    }
    let lone = lone_run(amount.lone, |n| ours(format!("lone-{n}"))).await?;
    let direct_lone = lone_run(amount.lone, |n| theirs(format!("lone-{n}"))).await?;
    let (steps, direct_steps) = (median(&mut midwatch), median(&mut direct));
    Ok(Figures {
        engine,
        steps_per_s: steps.round(),
        direct_steps_per_s: direct_steps.round(),
        overhead: ((direct_steps / steps - 1.0) * 1000.0).round() / 1000.0,
        lone_run_ms: lone.as_secs_f64() * 1e3,
        direct_lone_run_ms: direct_lone.as_secs_f64() * 1e3,
    })
}

async fn rate<F: Future<Output = Result<(), Mishap>>>(
    runs: usize,
    run: impl Fn(usize) -> F,
) -> Result<f64, Mishap> {
    let begun = Instant::now();
    let mut all = stream::iter(0..runs).map(run).buffer_unordered(AT_ONCE);
    while let Some(ended) = all.next().await {
        ended?;
    }
    Ok(runs as f64 * f64::from(STEPS) / begun.elapsed().as_secs_f64())
}

async fn lone_run<F: Future<Output = Result<(), Mishap>>>(
    runs: usize,
    run: impl Fn(usize) -> F,
) -> Result<Duration, Mishap> {
    let mut times = Vec::new();
    for n in 0..runs {
        let begun = Instant::now();
        run(n).await?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

impl Figures {
    /// As one JSON object, or as a table for people.
    pub fn told(&self, is_json: bool) -> String {
        if is_json {
            return serde_json::json!(self).to_string();
        }
        let Self { steps_per_s, direct_steps_per_s, lone_run_ms, direct_lone_run_ms, .. } = self;
        let overhead = self.overhead * 100.0;
        format!(
            "{STEPS} steps a run, {AT_ONCE} runs at once, medians\n\
             midwatch   {steps_per_s:>8.0} steps/s   a lone run {lone_run_ms:>6.1} ms\n\
             by hand    {direct_steps_per_s:>8.0} steps/s   a lone run {direct_lone_run_ms:>6.1} ms\n\
             overhead   {overhead:>8.1} %"
        )
    }
}

//! An engine at work, with runs that wait for every action there is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use midwatch::{
    Approval, Backoff, Budget, Charge, Class, Context, Failure, Midwatch, Money, RetryPolicy, StepContext,
    Usage, step, workflow,
};
use tokio::sync::oneshot;

#[step(timeout = "30s", target = "openai:gpt-4o-mini")]
async fn think(cx: StepContext, cents: u64) -> Result<String, Failure> {
    cx.charge(Charge {
        target: "openai:gpt-4o-mini".into(),
        usage: Usage { calls: 1, input: 900, output: 120, ..Usage::default() },
        cost: Some(Money::from_cents(cents)),
        ..Charge::default()
    });
    Ok("midnight to four".to_owned())
}

#[step(timeout = "30s")]
async fn publish(_cx: StepContext, text: String) -> Result<String, Failure> {
    Ok(format!("published: {text}"))
}

#[workflow(timeout = "2d")]
async fn approval(cx: Context, _: ()) -> Result<String, Failure> {
    let text = cx.step(think, &1).await?;
    cx.set_status("waits for an editor");
    let answer: Approval = cx.approval("publish").within(Duration::from_secs(3_600)).await?;
    if !answer.approved {
        return Ok(format!("turned down by {}", answer.by));
    }
    cx.step(publish, &format!("{text}, said {}", answer.by)).await
}

#[workflow]
async fn sleeper(cx: Context, _: ()) -> Result<(), Failure> {
    cx.step(think, &1).await?;
    cx.sleep(Duration::from_secs(3_600)).await
}

#[workflow]
async fn spender(cx: Context, _: ()) -> Result<u32, Failure> {
    for _ in 0..3 {
        cx.step(think, &40).await?;
    }
    Ok(3)
}

/// Whether the outside world is mended.
static IS_MENDED: AtomicBool = AtomicBool::new(false);

#[step(timeout = "30s")]
async fn charge(_cx: StepContext, order: String) -> Result<String, Failure> {
    match IS_MENDED.swap(true, Ordering::AcqRel) {
        true => Ok(format!("charged {order}")),
        false => Err(Failure::new(Class::InvalidRequest, "the card's number is not one").status(400)),
    }
}

#[workflow]
async fn order(cx: Context, id: String) -> Result<String, Failure> {
    cx.step(charge, &id).await
}

#[step(timeout = "30s")]
async fn book(_cx: StepContext, what: String) -> Result<String, Failure> {
    Ok(what)
}

#[step(timeout = "30s")]
async fn unbook(_cx: StepContext, _: String) -> Result<(), Failure> {
    Err(Failure::new(Class::Server, "the agency is closed").status(500))
}

#[step(timeout = "30s")]
async fn refuse(_cx: StepContext, _: ()) -> Result<(), Failure> {
    Err(Failure::new(Class::InvalidRequest, "no"))
}

#[workflow]
async fn trip(cx: Context, _: ()) -> Result<(), Failure> {
    let quick = RetryPolicy::default().attempts(2).backoff(Backoff::Immediate);
    cx.step(book, &"flight".to_owned()).compensate(unbook, |flight| flight).retry(quick).await?;
    cx.step(refuse, &()).await
}

/// The engine, until it is dropped.
pub(crate) struct Work {
    /// Runs by name.
    pub(crate) runs: BTreeMap<String, String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Work {
    pub(crate) fn start(path: &Path) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, start) = std::sync::mpsc::channel();
        let path = path.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let builder = Midwatch::embedded(path).workflow(approval).workflow(sleeper).workflow(spender);
                let builder = builder.workflow(order).workflow(trip).step(think).step(publish).step(charge);
                let midwatch =
                    builder.step(book).step(unbook).step(refuse).worker("work").open().await.unwrap();
                let mut runs = BTreeMap::new();
                for id in ["approve-1", "approve-2", "approve-3"] {
                    let run = midwatch.start(approval, ()).id(id).await.unwrap();
                    runs.insert(id.to_owned(), run.id().to_string());
                }
                for n in 1..=8 {
                    let id = format!("sleep-{n}");
                    let run = midwatch.start(sleeper, ()).id(id.as_str()).await.unwrap();
                    runs.insert(id, run.id().to_string());
                }
                let budget = Budget::usd(Money::from_cents(50));
                let run = midwatch.start(spender, ()).id("spend-1").budget(budget).await.unwrap();
                runs.insert("spend-1".to_owned(), run.id().to_string());
                let run = midwatch.start(order, "order-1".to_owned()).id("order-1").await.unwrap();
                runs.insert("order-1".to_owned(), run.id().to_string());
                drop(run.result().await);
                let run = midwatch.start(trip, ()).id("trip-1").await.unwrap();
                runs.insert("trip-1".to_owned(), run.id().to_string());
                started.send(runs).unwrap();
                drop(stopped.await);
                midwatch.shut_down().await;
            });
        });
        Self { runs: start.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

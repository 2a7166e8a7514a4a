//! Live pages: who stays on a page is sent those of its parts that changed, when the journal did.
//!
//! One task looks for changes as long as anybody stays; it reads which runs changed and no event. A page that many look at
//! is rendered once for all of them, and what is new on it put into words once; the page of a run that has no new event is
//! not rendered again. All rendering together takes one part in fifteen of one core at most: where there is more to show
//! than that, pages follow less closely, and the engine keeps its pace.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use midwatch_workflow::RunId;
use tokio::sync::{Mutex, broadcast, watch};

use crate::access::Who;
use crate::app::App;
use crate::error::{Trouble, blocking};
use crate::pages::View;
use crate::shown::Shown;

/// What the journal's look-out and the readers share.
pub(crate) struct Live {
    changes: broadcast::Sender<Change>,
    readers: AtomicUsize,
    /// Whether somebody looks out for changes.
    is_watched: AtomicBool,
    stopped: watch::Sender<bool>,
    /// When the next page may be rendered.
    next: Mutex<Instant>,
}

/// What changed, seen at one moment.
#[derive(Clone)]
struct Change {
    at: Instant,
    /// `None` if so many runs changed that nobody counted.
    runs: Option<Arc<HashSet<RunId>>>,
}

/// How often the journal is looked at.
const POLL: Duration = Duration::from_millis(150);
/// So many rows are looked through for names; more than that is as good as everything.
const ROWS_MAX: usize = 2_000;
/// A page is looked at again after so long, whatever the journal says: time passes.
const IDLE: Duration = Duration::from_secs(5);
/// The first time after less, since a change just before somebody came may have been missed.
const IDLE_FIRST: Duration = Duration::from_millis(700);
const RECENT: Duration = Duration::from_millis(500);
/// A page changes no more often than this for one reader.
const REST_MIN: Duration = Duration::from_millis(250);
/// Rendering rests so many times as long as it took.
const REST: u32 = 14;
const REST_MAX: Duration = Duration::from_secs(2);
/// The most readers that stay.
const READERS_MAX: usize = 2_000;

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            changes: broadcast::channel(16).0,
            readers: AtomicUsize::new(0),
            is_watched: AtomicBool::new(false),
            stopped: watch::channel(false).0,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Sends everybody away.
    pub(crate) fn end(&self) {
        self.stopped.send_replace(true);
    }
}

/// One who stays; counted as long as the stream lives.
struct Reader(Arc<App>);

impl Reader {
    fn enter(app: &Arc<App>) -> Option<Self> {
        let before = app.live.readers.fetch_add(1, Ordering::AcqRel);
        let reader = Self(Arc::clone(app));
        if !app.live.is_watched.swap(true, Ordering::AcqRel) {
            tokio::spawn(look_out(Arc::clone(app)));
        }
        (before < READERS_MAX).then_some(reader)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.live.readers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells which runs changed, as long as anybody stays. There is one of these at most.
async fn look_out(app: Arc<App>) {
    let live = &app.live;
    loop {
        look_out_for_readers(&app).await;
        live.is_watched.store(false, Ordering::Release);
        // Somebody may have come just now, and seen that it was watched.
        let is_needed = live.readers.load(Ordering::Acquire) > 0 && !*live.stopped.borrow();
        if !is_needed || live.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
    }
}

async fn look_out_for_readers(app: &Arc<App>) {
    let mut position = position(app).await.unwrap_or_default();
    while app.live.readers.load(Ordering::Acquire) > 0 && !*app.live.stopped.borrow() {
        tokio::time::sleep(POLL).await;
        let from = Arc::clone(app);
        let changes = blocking(move || Ok(from.journal.changes(position, ROWS_MAX)?)).await;
        // What is rendered from now on shows them; what was begun before may not.
        let at = Instant::now();
        // A journal that cannot be read now is tried again; the pages themselves say what is wrong.
        let Ok(changes) = changes else { continue };
        let Some((last, _)) = changes.last() else { continue };
        position = *last;
        let is_flood = changes.len() == ROWS_MAX;
        if is_flood && let Ok(end) = self::position(app).await {
            position = end;
        }
        let runs = (!is_flood).then(|| Arc::new(changes.into_iter().map(|(_, run)| run).collect()));
        // Nobody may be listening at this very moment.
        let _ = app.live.changes.send(Change { at, runs });
    }
}

async fn position(app: &Arc<App>) -> Result<u64, Trouble> {
    let app = Arc::clone(app);
    blocking(move || Ok(app.journal.position()?)).await
}

/// `GET /live/…`: the page of that address, as a stream of what changes of it.
pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    Extension(who): Extension<Who>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let path = uri.path().strip_prefix("/live").filter(|path| !path.is_empty()).unwrap_or("/");
    let query = query.unwrap_or_default();
    let seen = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_seen");
    let seen = seen.map(|(_, seen)| seen.into_owned()).unwrap_or_default();
    let view = View::parse(path, &query)?;
    let full = || Trouble::Bad(format!("{READERS_MAX} readers stay already: read the page without staying"));
    let reader = Reader::enter(&app).ok_or_else(full)?;
    let follower = Follower {
        key: view.key(),
        changes: app.live.changes.subscribe(),
        stopped: app.live.stopped.subscribe(),
        reader,
        view,
        csrf: who.csrf,
        idle: IDLE_FIRST,
        seen,
        page: None,
        pending: VecDeque::new(),
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(answer(events))
}

fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

/// A reader, the page that they have, and what they wait for.
struct Follower {
    reader: Reader,
    view: View,
    key: String,
    csrf: String,
    idle: Duration,
    /// The hash of the page that they came with.
    seen: String,
    page: Option<Arc<Shown>>,
    changes: broadcast::Receiver<Change>,
    stopped: watch::Receiver<bool>,
    pending: VecDeque<Event>,
}

impl Follower {
    /// The next event for them; `None` when it is over.
    async fn next(&mut self) -> Option<Event> {
        if self.page.is_none() {
            // What others were shown a moment ago will do: soon it is looked at again.
            let recent = Instant::now().checked_sub(RECENT).unwrap_or_else(Instant::now);
            let page = self.render(recent).await.ok()?;
            let news = if page.hash() == self.seen { None } else { page.news(None) };
            self.page = Some(page);
            self.pending.extend(news.map(|news| self.event(&news)));
            return Some(Event::default().event("hello").data("live").retry(Duration::from_secs(2)));
        }
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let moment = self.wait().await?;
            // A journal that is gone for a moment is no reason to send readers away.
            let Ok(page) = self.render(moment).await else { continue };
            let news = page.news(self.page.as_deref());
            self.page = Some(page);
            self.pending.extend(news.map(|news| self.event(&news)));
        }
    }

    fn event(&self, news: &str) -> Event {
        let (event, blank) = (Event::default().event("parts"), &self.reader.0.door.blank);
        if news.contains(blank) { event.data(news.replace(blank, &self.csrf)) } else { event.data(news) }
    }

    /// Waits until the page may have changed, and gives the moment from which on that shows.
    async fn wait(&mut self) -> Option<Instant> {
        let begun = Instant::now();
        let moment = loop {
            let idle = tokio::time::sleep(self.idle.saturating_sub(begun.elapsed()));
            tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => return None,
                () = idle => break Instant::now(),
                change = self.changes.recv() => match change {
                    Ok(change) if self.view.shows(change.runs.as_deref()) => break change.at,
                    Ok(_) => {}
                    // They were too slow to hear of every change.
                    Err(broadcast::error::RecvError::Lagged(_)) => break Instant::now(),
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            }
        };
        self.idle = IDLE;
        tokio::time::sleep(REST_MIN.saturating_sub(begun.elapsed())).await;
        Some(moment)
    }

    /// The page as it is at a moment or later.
    async fn render(&self, moment: Instant) -> Result<Arc<Shown>, Trouble> {
        let app = &self.reader.0;
        if let Some(page) = app.pages.peek_since(&self.key, moment) {
            return Ok(page);
        }
        let mut next = app.live.next.lock().await;
        // Whoever waited here for another may find it done.
        if let Some(page) = app.pages.peek_since(&self.key, moment) {
            return Ok(page);
        }
        tokio::time::sleep_until((*next).into()).await;
        let begun = Instant::now();
        let (shared, view, key) = (Arc::clone(app), self.view.clone(), self.key.clone());
        let page = blocking(move || {
            shared.pages.get_since(&shared, key, moment, |app, before| {
                let events = view.events(app)?;
                let is_same = |shown: &&Arc<Shown>| shown.events == events && shown.at.elapsed() < IDLE;
                match before.filter(|_| events.is_some()).filter(is_same) {
                    Some(same) => Ok(Arc::clone(same)),
                    None => Ok(Arc::new(Shown::new(view.render(app)?, events))),
                }
            })
        });
        let page = page.await;
        *next = Instant::now() + (begun.elapsed() * REST).min(REST_MAX);
        page
    }
}

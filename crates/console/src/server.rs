//! Puts everything together: routes, the guard before them, and what others bring along.

use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use midwatch_journal::sqlite::SqliteJournal;
use tokio::net::TcpListener;

use crate::access::{Door, form, guard, log_in, log_out};
use crate::app::App;
use crate::settings::{OpenError, Settings};
use crate::{api, assets, live, pages};

/// A console for one journal, before it is served.
///
/// Others may bring routes and tasks along: metrics, ingest, alerts. Their routes stand behind the same guard.
///
/// ```no_run
/// # use midwatch_console::{Console, OpenError, Settings};
/// # async fn example() -> Result<(), OpenError> {
/// let console = Console::open("midwatch.db", Settings::default())?;
/// let address = "127.0.0.1:7000".parse().expect("an address");
/// console.serve(address, std::future::pending()).await
/// # }
/// ```
pub struct Console {
    app: Arc<App>,
    routes: Router,
    tasks: Vec<BoxFuture<'static, ()>>,
}

/// The largest request, in bytes: a signal's payload and what is around it.
const BODY_MAX: usize = 5 << 20;

impl Console {
    /// Opens a journal that another process, or this one, may own.
    ///
    /// # Errors
    /// [`OpenError::Journal`] if it is missing, damaged or too new; [`OpenError::NoRandomness`].
    pub fn open(path: impl Into<PathBuf>, settings: Settings) -> Result<Self, OpenError> {
        let journal = SqliteJournal::open_reader(path)?;
        let door = Door::new(settings.access.clone(), settings.by.clone())?;
        let app = Arc::new(App::new(journal, settings, door));
        Ok(Self { app, routes: Router::new(), tasks: Vec::new() })
    }

    /// Serves more routes.
    #[must_use]
    pub fn merge(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Runs a task beside, until the console stops.
    #[must_use]
    pub fn task(mut self, task: impl Future<Output = ()> + Send + 'static) -> Self {
        self.tasks.push(Box::pin(task));
        self
    }

    /// Whether it may be served at an address.
    ///
    /// # Errors
    /// [`OpenError::Unprotected`] and [`OpenError::WeakToken`].
    pub fn check(&self, address: SocketAddr) -> Result<(), OpenError> {
        self.app.settings.access.check(address)
    }

    /// Serves an address until `stop` is ready.
    ///
    /// # Errors
    /// [`OpenError::Unprotected`], [`OpenError::WeakToken`], [`OpenError::Io`].
    pub async fn serve(
        self,
        address: SocketAddr,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), OpenError> {
        self.serve_on(TcpListener::bind(address).await?, stop).await
    }

    /// Serves what comes to a listener until `stop` is ready.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub async fn serve_on(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), OpenError> {
        self.check(listener.local_addr()?)?;
        let app = Arc::clone(&self.app);
        let tasks: Vec<_> = self.tasks.into_iter().map(tokio::spawn).collect();
        let warm = Arc::clone(&app);
        // What the first reader would wait for.
        drop(tokio::task::spawn_blocking(move || pages::warm(&warm)));
        let ended = Arc::clone(&app);
        let stop = async move {
            stop.await;
            // Readers that stay would keep the server from stopping.
            ended.live.end();
        };
        let routes = router(app, self.routes);
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop).into_future().await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(served?)
    }
}

fn router(app: Arc<App>, more: Router) -> Router {
    Router::new()
        .route("/", get(pages::show))
        .route("/runs", get(pages::show))
        .route("/runs/{run}", get(pages::show))
        .route("/runs/{run}/events", get(pages::show))
        .route("/runs/{run}/{action}", post(pages::act::act))
        .route("/bulk/{action}", get(pages::bulk::ask).post(pages::bulk::act))
        .route("/cost", get(pages::show))
        .route("/cost.csv", get(pages::cost::csv))
        .route("/stalls", get(pages::show))
        .route("/workflows", get(pages::show))
        .route("/live", get(live::stream))
        .route("/live/", get(live::stream))
        .route("/live/{*path}", get(live::stream))
        .route("/login", get(form).post(log_in))
        .route("/logout", post(log_out))
        .route("/api", get(api::docs))
        .route("/assets/console.css", get(assets::style))
        .route("/assets/console.js", get(assets::script))
        .route("/assets/icon.svg", get(assets::icon))
        .nest("/api/v1", api::routes())
        .fallback(pages::nothing)
        .with_state(Arc::clone(&app))
        .merge(more)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(app, guard))
}

//! The two clients that a process needs, made once.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use midwatch_providers::IntoFailure;
use midwatch_workflow::{Failure, Timestamp};
use reqwest::{Client, redirect};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REDIRECTS_MAX: usize = 10;

type Shared = Result<Client, Arc<Failure>>;

/// For requests of users.
pub(super) fn shared() -> Shared {
    static CLIENT: OnceLock<Shared> = OnceLock::new();
    CLIENT.get_or_init(|| build(redirect::Policy::limited(REDIRECTS_MAX))).clone()
}

/// For requests with a provider's key: a redirect would carry it to wherever it points.
pub(crate) fn shared_unredirected() -> Shared {
    static CLIENT: OnceLock<Shared> = OnceLock::new();
    CLIENT.get_or_init(|| build(redirect::Policy::none())).clone()
}

fn build(redirects: redirect::Policy) -> Shared {
    // Who installed another provider before keeps it; that is what the error here says.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .retry(reqwest::retry::never())
        .redirect(redirects)
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("midwatch/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|error| Arc::new(error.into_failure()))
}

/// The time on the system's clock, for dates in headers and for prices.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(0) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

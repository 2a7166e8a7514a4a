//! The receiving side of idempotency: a tower layer for the user's own services.
//!
//! A request with an `Idempotency-Key` is carried out once. A repeat gets the stored answer with
//! `Idempotent-Replayed: true`; one that comes while the first is under way gets 409, the same key with another request
//! 422. Requests without a key, and those of safe methods, pass untouched.
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, routing::post};
//! use midwatch::receiver::Idempotency;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("receipts.db");
//! let idempotency = Idempotency::open(path, Duration::from_secs(24 * 3600))?;
//! let service: Router = Router::new().route("/charges", post(|| async { "charged" })).layer(idempotency);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The answer is durable before it is sent, and the request is carried out to its end even if the client leaves. If the
//! process dies in between, the next one does not know whether the effect happened: see [`OnUnknown`].

mod layer;
mod refusal;
mod request;

pub use layer::{Idempotency, IdempotencyService, OnUnknown};

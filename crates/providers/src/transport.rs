//! Failures from errors that come instead of a response.
//!
//! The question that matters is whether the request may have arrived: an error before it was sent leaves no doubt that
//! nothing happened; after that the attempt is ambiguous.

use std::io::{self, ErrorKind};

use midwatch_workflow::{Class, Failure};

/// An error that says how it is to be retried. Implement it, or `From` for [`Failure`], for errors of your own.
pub trait IntoFailure {
    /// Makes the failure.
    fn into_failure(self) -> Failure;
}

/// Turns the error of a result into a [`Failure`], so that `?` passes it on.
pub trait OrFailure<T> {
    /// Makes the error a failure.
    ///
    /// # Errors
    /// The error, classified.
    fn or_failure(self) -> Result<T, Failure>;
}

impl<T, E: IntoFailure> OrFailure<T> for Result<T, E> {
    fn or_failure(self) -> Result<T, Failure> {
        self.map_err(IntoFailure::into_failure)
    }
}

impl IntoFailure for io::Error {
    fn into_failure(self) -> Failure {
        let (class, ambiguous) = of_io(self.kind());
        let failure = Failure::new(class, format!("I/O failed: {}", self.kind()));
        let failure = if ambiguous { failure.ambiguous() } else { failure };
        failure.source(self)
    }
}

/// The class, and whether the other side may have acted nevertheless.
fn of_io(kind: ErrorKind) -> (Class, bool) {
    match kind {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        | ErrorKind::AddrInUse => (Class::Connection, false),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::NotConnected
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => (Class::Connection, true),
        ErrorKind::TimedOut => (Class::Timeout, true),
        ErrorKind::NotFound => (Class::NotFound, false),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (Class::Permission, false),
        ErrorKind::InvalidInput
        | ErrorKind::InvalidData
        | ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::FileTooLarge
        | ErrorKind::Unsupported => (Class::InvalidRequest, false),
        _ => (Class::Unknown, false),
    }
}

#[cfg(feature = "reqwest")]
impl IntoFailure for reqwest::Error {
    /// Names host and path at most: a query may hold secrets.
    fn into_failure(self) -> Failure {
        let place = self.url().map_or_else(String::new, |url| {
            format!(" to {}{}", url.host_str().unwrap_or_default(), crate::redact(url.path()))
        });
        let (class, ambiguous, what) = of_reqwest(&self);
        let mut failure = Failure::new(class, format!("request{place} {what}"));
        failure.status = self.status().map(|status| status.as_u16());
        let failure = if ambiguous { failure.ambiguous() } else { failure };
        let mut failure = failure.source(self.without_url());
        failure.source = failure.source.map(|source| crate::redact(&source));
        failure
    }
}

#[cfg(feature = "reqwest")]
fn of_reqwest(error: &reqwest::Error) -> (Class, bool, &'static str) {
    if error.is_builder() {
        (Class::InvalidRequest, false, "could not be made")
    } else if error.is_connect() {
        // A timeout of the connect phase too: no byte of the request has left.
        (Class::Connection, false, "could not connect")
    } else if error.is_timeout() {
        (Class::Timeout, true, "timed out")
    } else if error.is_redirect() {
        (Class::InvalidRequest, false, "was redirected too often")
    } else if let Some(status) = error.status() {
        let class = crate::classify::by_status(status.as_u16());
        (class, crate::classify::is_ambiguous_status(status.as_u16()), "was refused")
    } else if error.is_decode() {
        of_decode(error)
    } else {
        (Class::Connection, true, "lost its connection")
    }
}

/// The client calls two things by this name: a body that broke off, and JSON that is not what the code expects. Wrong
/// types never cure; a body that is no JSON at all may.
#[cfg(feature = "reqwest")]
fn of_decode(error: &reqwest::Error) -> (Class, bool, &'static str) {
    use serde_json::error::Category;
    use std::error::Error;
    let json = error.source().and_then(|source| source.downcast_ref::<serde_json::Error>());
    match json.map(serde_json::Error::classify) {
        None => (Class::Connection, true, "lost its connection"),
        Some(Category::Data) => (Class::Bug, true, "got an answer whose types are not those of the code"),
        Some(_) => (Class::Server, true, "got an answer that is no JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_before_the_request_is_sent_is_not_ambiguous_and_one_after_is() {
        for (kind, class, ambiguous) in [
            (ErrorKind::ConnectionRefused, Class::Connection, false),
            (ErrorKind::HostUnreachable, Class::Connection, false),
            (ErrorKind::ConnectionReset, Class::Connection, true),
            (ErrorKind::UnexpectedEof, Class::Connection, true),
            (ErrorKind::TimedOut, Class::Timeout, true),
            (ErrorKind::NotFound, Class::NotFound, false),
            (ErrorKind::PermissionDenied, Class::Permission, false),
            (ErrorKind::InvalidData, Class::InvalidRequest, false),
            (ErrorKind::Other, Class::Unknown, false),
        ] {
            let failure = io::Error::from(kind).into_failure();
            assert_eq!((failure.class, failure.ambiguous), (class, ambiguous), "{kind}");
        }
    }

    #[test]
    fn a_question_mark_passes_an_error_on_as_a_failure() {
        fn read() -> Result<Vec<u8>, Failure> {
            std::fs::read("/no/such/file").or_failure()
        }
        let failure = read().expect_err("there is no such file");
        assert_eq!(failure.class, Class::NotFound);
        assert!(failure.source.is_some());
    }
}

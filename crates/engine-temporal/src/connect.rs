//! The way to the server, and what it means when there is none.

use std::error::Error;
use std::time::Duration;

use midwatch_workflow::EngineError;
use temporalio_client::errors::ClientConnectError;
use temporalio_client::tonic::{Code, Status};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};

use crate::options::Server;

/// How long a server may take to answer for the first time.
const ANSWER: Duration = Duration::from_secs(10);

/// Connects to the server; gives its address as well.
///
/// # Errors
/// [`EngineError::NotReached`] if nothing of that kind answers there.
pub(crate) async fn connect(server: &Server) -> Result<(Client, String), EngineError> {
    let (connection, client) = match server {
        Server::At { url, namespace } => {
            let target = url.parse::<Url>().map_err(|error| not_reached(url, error.to_string()))?;
            (ConnectionOptions::new(target).build(), ClientOptions::new(namespace.clone()).build())
        }
        Server::Configured => ClientOptions::load_from_config(Default::default())
            .map_err(|error| EngineError::Unavailable(error.to_string().into()))?,
    };
    let address = connection.target.to_string();
    let is_unnamed = connection.tls_options.as_ref().is_some_and(|tls| tls.client_tls_options.is_none());
    let connection = match tokio::time::timeout(ANSWER, Connection::connect(connection)).await {
        Ok(connected) => connected.map_err(|error| failed(&address, error, is_unnamed))?,
        Err(_) => return Err(not_reached(&address, format!("no answer within {ANSWER:?}"))),
    };
    let client =
        Client::new(connection, client).map_err(|error| EngineError::Unavailable(Box::new(error)))?;
    Ok((client, address))
}

/// What to set if a server wants to know who asks.
const CLIENT: &str =
    "TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH name a client's certificate";

/// `is_unnamed` says that the way is private, and we did not say who we are.
fn failed(address: &str, error: ClientConnectError, is_unnamed: bool) -> EngineError {
    match &error {
        ClientConnectError::SystemInfoCallError(status) => match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => EngineError::Unavailable(Box::new(error)),
            // What a connection broke of says more than that it broke.
            _ if status.source().is_some() => {
                let why = untrusted(status).unwrap_or_else(|| match (root(status), is_unnamed) {
                    (why, true) => format!("{why}, as where a server asks who we are: {CLIENT}"),
                    (why, false) => why,
                });
                not_reached(address, why)
            }
            _ => not_reached(address, status.message().to_owned()),
        },
        ClientConnectError::InvalidHeaders(_) | ClientConnectError::InvalidConfig(_) => {
            EngineError::Unavailable(Box::new(error))
        }
        error => not_reached(address, untrusted(error).unwrap_or_else(|| root(error))),
    }
}

/// One of the two sides does not trust the other: what to set for that.
fn untrusted(error: &(dyn Error + 'static)) -> Option<String> {
    match of_tls(error)? {
        rustls::Error::InvalidCertificate(why) => Some(format!(
            "its certificate is not trusted ({why}): TEMPORAL_TLS_SERVER_CA_CERT_PATH names the authority that signed it"
        )),
        rustls::Error::AlertReceived(alert) => Some(format!("it ended TLS ({alert:?}): {CLIENT}")),
        _ => None,
    }
}

/// What TLS says, somewhere below an error.
fn of_tls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut cause = Some(error);
    while let Some(of) = cause {
        // What input and output wrap is no source of theirs.
        let wrapped = of.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = of.downcast_ref().or_else(|| wrapped.and_then(|inner| inner.downcast_ref()));
        if found.is_some() {
            return found;
        }
        cause = of.source();
    }
    None
}

/// What a call that failed means to its caller.
pub(crate) fn trouble(address: &str, error: impl Error + Send + Sync + 'static) -> EngineError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(of) = cause {
        if let Some(status) = of.downcast_ref::<Status>().filter(|status| status.code() == Code::Unavailable)
        {
            return not_reached(address, status.message().to_owned());
        }
        cause = of.source();
    }
    EngineError::Unavailable(Box::new(error))
}

fn not_reached(address: &str, why: String) -> EngineError {
    let setting = "TEMPORAL_ADDRESS or `.server(url)`";
    EngineError::NotReached { server: "Temporal", address: address.to_owned(), why, setting }
}

/// The first cause of an error: those above it repeat it.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use midwatch_workflow::EngineError;

    use super::connect;
    use crate::options::Server;

    #[tokio::test]
    async fn an_address_where_nobody_answers_is_named_with_what_to_do() {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        for (url, why) in [(format!("http://{free}"), "refused"), ("no address".to_owned(), "URL")] {
            let error = connect(&Server::at(&url)).await.err().unwrap();
            assert!(matches!(error, EngineError::NotReached { .. }), "{error:?}");
            let text = error.to_string();
            for part in ["[MW0107] Temporal was not reached at", url.as_str(), why, "TEMPORAL_ADDRESS"] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }
}

//! Over TLS, to a receiver behind an endpoint whose certificate nobody trusts but who is told to.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::machine::midwatch;
use crate::place::{Place, told};
use crate::receiver::Rotel;

/// An authority of one's own, and its certificate as a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// What a server at `localhost` shows.
    fn server(&self, protocol: &[u8]) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let certificates = vec![certificate.der().clone()];
        let mut config = config.with_no_client_auth().with_single_cert(certificates, key).unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }
}

/// An endpoint that ends TLS before a receiver, as a load balancer does; gives its port.
fn endpoint(runtime: &tokio::runtime::Runtime, config: ServerConfig, receiver: &str) -> u16 {
    let receiver = receiver.strip_prefix("http://").unwrap().to_owned();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, receiver) = (acceptor.clone(), receiver.clone());
            tokio::spawn(async move {
                // Who does not trust the certificate goes away here.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(receiver).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    port
}

fn send(place: &Place, run: &str, port: u16, protocol: &str, authority: Option<&Path>) -> Output {
    let mut command: Command = midwatch(place.path());
    command.args(["trace", run, "--otlp", &format!("https://localhost:{port}"), "--protocol", protocol]);
    if let Some(file) = authority {
        command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", file);
    }
    command.output().unwrap()
}

#[test]
fn a_collector_behind_ones_own_authority_is_trusted_once_that_is_named_and_otherwise_refused_clearly() {
    let Some(rotel) = Rotel::start() else { return };
    let place = Place::new();
    let journal = place.owner();
    let tale = told(1, Duration::ZERO, |tale| {
        tale.usual_work(1);
        tale.complete();
    });
    place.write(&journal, &tale);
    let run = tale.run.to_string();
    let (ours, other) =
        (Authority::new(place.folder(), "ours.pem"), Authority::new(place.folder(), "other.pem"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for (protocol, alpn, receiver) in
        [("http", &b"http/1.1"[..], rotel.http()), ("grpc", b"h2", rotel.grpc())]
    {
        let port = endpoint(&runtime, ours.server(alpn), &receiver);
        for authority in [None, Some(&*other.file)] {
            let refused = send(&place, &run, port, protocol, authority);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{protocol}: {said}");
            for word in ["UnknownIssuer", "OTEL_EXPORTER_OTLP_CERTIFICATE"] {
                assert!(said.contains(word), "{protocol}: {said}");
            }
        }
        let before = rotel.until(|_| true).len();
        let sent = send(&place, &run, port, protocol, Some(&ours.file));
        assert!(sent.status.success(), "{protocol}: {}", String::from_utf8_lossy(&sent.stderr));
        let said: serde_json::Value = serde_json::from_slice(&sent.stdout).unwrap();
        let spans = usize::try_from(said["spans"].as_u64().unwrap()).unwrap();
        assert!(spans > 10, "{said}");
        rotel.until(|received| received.len() >= before + spans);
    }
}

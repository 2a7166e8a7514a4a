//! A console behind what ends its TLS, as others reach it.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::place::{Console, Elsewhere};
use crate::journal::{checkout, written};

#[test]
fn a_console_behind_tls_is_looked_at_if_its_certificate_is_known() {
    let folder = written(&[checkout()]);
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(elsewhere.folder().join("ca.pem"), authority.pem()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address =
        runtime.block_on(end_tls(&authority, console.url.trim_start_matches("http://").parse().unwrap()));
    let url = format!("https://{address}");
    let known = elsewhere.with(&url, &["why", "order-42"], |asked| {
        asked.env("SSL_CERT_FILE", "ca.pem");
    });
    assert!(known.stdout.starts_with("HEALTHY"), "{}", known.all());
    let unknown = elsewhere.run(&url, &["why", "order-42"]);
    assert_eq!(unknown.code, 4, "{}", unknown.all());
    assert!(
        unknown.stderr.contains("[MW0301]") && unknown.stderr.contains("certificate"),
        "{}",
        unknown.all()
    );
}

/// Ends TLS before a console, until the runtime ends.
async fn end_tls(authority: &CertifiedIssuer<'static, KeyPair>, console: SocketAddr) -> SocketAddr {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let chain = vec![certificate.der().clone()];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever does not know the certificate goes away at once.
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let mut outside = TcpStream::connect(console).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut inside, &mut outside).await);
            });
        }
    });
    address
}

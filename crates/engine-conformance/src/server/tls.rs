//! What ends TLS before a server of this machine, with a certificate of an authority of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority that nobody knows who was not told.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is spoken within TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inside {
    /// HTTP/1.1.
    Http,
    /// HTTP/2, as gRPC is.
    Grpc,
}

impl Authority {
    /// A new one of this name.
    ///
    /// # Panics
    /// If no key can be made.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Writes its certificate to a file.
    ///
    /// # Panics
    /// If that cannot be written.
    pub fn write(&self, file: &Path) {
        std::fs::write(file, self.0.pem()).expect("write a certificate");
    }

    /// Writes a client's certificate to one file, and its key to another.
    ///
    /// # Panics
    /// If those cannot be written.
    pub fn write_client(&self, certificate: &Path, key: &Path) {
        let (signed, pair) = self.sign("client");
        std::fs::write(certificate, signed.pem()).expect("write a certificate");
        std::fs::write(key, pair.serialize_pem()).expect("write a key");
    }

    /// Ends TLS before a server, until the runtime ends; gives where. Clients must show a certificate of the authority that
    /// is named, if one is.
    ///
    /// # Panics
    /// If no key can be made, or there is no free port.
    pub async fn end_tls(
        &self,
        server: SocketAddr,
        inside: Inside,
        clients: Option<&Authority>,
    ) -> SocketAddr {
        let (certificate, key) = self.sign("127.0.0.1");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions().expect("versions of TLS");
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut known = RootCertStore::empty();
                known.add(authority.0.der().clone()).expect("a certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(known), provider).build();
                config.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let mut config =
            config.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
        config.alpn_protocols = match inside {
            Inside::Http => Vec::new(),
            Inside::Grpc => vec![b"h2".to_vec()],
        };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever does not know the certificate goes away at once.
                    let Ok(mut inside) = acceptor.accept(stream).await else { return };
                    let Ok(mut outside) = TcpStream::connect(server).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut inside, &mut outside).await);
                });
            }
        });
        address
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }
}

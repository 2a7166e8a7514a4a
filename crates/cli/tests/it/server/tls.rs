//! A console behind what ends its TLS, as others reach it.

use midwatch_engine_conformance::server::{Authority, Inside};

use super::place::{Console, Elsewhere};
use crate::journal::{checkout, written};

#[test]
fn a_console_behind_tls_is_looked_at_if_its_certificate_is_known() {
    let folder = written(&[checkout()]);
    let console = Console::start(folder.path());
    let elsewhere = Elsewhere::new();
    let authority = Authority::new("ours");
    authority.write(&elsewhere.folder().join("ca.pem"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = console.url.trim_start_matches("http://").parse().unwrap();
    let address = runtime.block_on(authority.end_tls(server, Inside::Http, None));
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

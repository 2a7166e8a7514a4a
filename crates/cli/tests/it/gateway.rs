//! `midwatch gateway` before an upstream that is reached over TLS.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use midwatch::http::reqwest::Client;
use midwatch_engine_conformance::server::{Authority, Inside};
use midwatch_simulator::{Config, serve};
use serde_json::{Value, json};

use crate::midwatch::command;

struct Gateway {
    child: Child,
    base: String,
}

impl Gateway {
    fn start(folder: &Path, upstream: &str, certificates: Option<&str>) -> Self {
        let mut command = command(folder);
        command.args(["gateway", "--json", "--listen", "127.0.0.1:0", "--upstream", upstream]);
        command.stdout(Stdio::piped()).env_remove("SSL_CERT_FILE");
        command.envs(certificates.map(|file| ("SSL_CERT_FILE", file)));
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self { child, base: said["listening"].as_str().unwrap().to_owned() }
    }

    async fn ask(&self) -> (u16, Value) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Is it foggy?"}]});
        let request = Client::new().post(format!("{}/v1/chat/completions", self.base)).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_asked_over_tls_only_if_its_certificate_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = serve(Config::default()).await.unwrap();
    let authority = Authority::new("ours");
    authority.write(&folder.path().join("ca.pem"));
    let plain = simulator.openai_url();
    let (host, path) = plain.trim_start_matches("http://").split_once('/').unwrap();
    let address = authority.end_tls(host.parse().unwrap(), Inside::Http, None).await;
    let upstream = format!("openai=https://{address}/{path}");

    let stranger = Gateway::start(folder.path(), &upstream, None);
    let (status, answer) = stranger.ask().await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("upstream_failed")), "{answer}");
    assert_eq!(simulator.ledger().entries().len(), 0, "nothing was sent");
    drop(stranger);

    let friend = Gateway::start(folder.path(), &upstream, Some("ca.pem"));
    let (status, answer) = friend.ask().await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(simulator.ledger().entries().len(), 1);
}

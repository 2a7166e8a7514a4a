//! npm's `stripe-stateful-mock`: a Stripe that nobody here wrote, and that honours idempotency keys.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use midwatch::http::reqwest;
use serde_json::Value;

/// It runs until it is dropped.
pub(crate) struct FakeStripe {
    node: Child,
    url: String,
}

/// It has no option for its address, so it is started from within.
const SCRIPT: &str = "const fake = require('stripe-stateful-mock').createExpressApp();
const server = fake.listen(0, '127.0.0.1', () => console.log(server.address().port));";

impl FakeStripe {
    /// A key that it takes.
    pub(crate) const KEY: &str = "sk_test_of_nobody";

    /// Starts it on a free port; `None`, said loudly, where it is not installed.
    #[allow(clippy::print_stderr)] // Whoever runs the tests must hear of it.
    pub(crate) fn start() -> Option<Self> {
        let folder = folder();
        if !folder.join("node_modules/stripe-stateful-mock").is_dir() {
            eprintln!(
                "SKIPPED: no stripe-stateful-mock in {}; `cargo xtask test` installs it",
                folder.display()
            );
            assert!(
                std::env::var_os("MIDWATCH_REQUIRE_STRIPE_MOCK").is_none(),
                "the test command requires it"
            );
            return None;
        }
        let mut node = Command::new("node")
            .args(["-e", SCRIPT])
            .current_dir(&folder)
            .env("LOG_LEVEL", "silent")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts where npm installed something");
        let mut port = String::new();
        let stdout = node.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut port).expect("node says its port");
        Some(Self { url: format!("http://127.0.0.1:{}", port.trim()), node })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads an object, or a list of them.
    pub(crate) async fn get(&self, what: &str) -> Value {
        let request = reqwest::Client::new().get(format!("{}/v1/{what}", self.url)).bearer_auth(Self::KEY);
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    /// All charges of an order.
    pub(crate) async fn charges_of(&self, order: &str) -> Vec<Value> {
        let list = self.get("charges").await;
        let charges = list["data"].as_array().expect("a list").iter();
        charges.filter(|charge| charge["metadata"]["order_id"] == order).cloned().collect()
    }
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// Where the test command installs it.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/stripe-mock")
}

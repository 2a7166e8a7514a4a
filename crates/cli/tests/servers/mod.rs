//! The servers that the tests talk to: found under `target/tools`, started on free ports of this machine, killed by their id.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::place::until;

/// Where Prometheus and its like are.
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// `None` if they are not installed; a failure if they must be.
    pub(crate) fn find() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
        let folder = root.join("target/tools/prometheus");
        if folder.join("alertmanager/default.tmpl").is_file() {
            return Some(Self(folder));
        }
        let is_required = std::env::var_os("MIDWATCH_REQUIRE_PROMETHEUS").is_some();
        assert!(
            !is_required,
            "MIDWATCH_REQUIRE_PROMETHEUS is set and target/tools/prometheus has no Prometheus"
        );
        skipped();
        None
    }

    pub(crate) fn promtool(&self) -> PathBuf {
        self.0.join("promtool")
    }
}

#[allow(clippy::print_stderr)] // a test that is skipped must not look like one that passed
fn skipped() {
    eprintln!("SKIPPED: no Prometheus in target/tools; `cargo xtask test` unpacks it");
}

/// The command on a journal.
pub(crate) fn midwatch(journal: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_midwatch"));
    command
        .arg("--db")
        .arg(journal)
        .env_remove("MIDWATCH_ALERTS")
        .env_remove("MIDWATCH_NOW")
        .env_remove("MIDWATCH_DB");
    command
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `midwatch watch`.
pub(crate) struct Watch {
    _process: Running,
    address: String,
}

impl Watch {
    pub(crate) fn start(journal: &Path, more: &[&str]) -> Self {
        let mut command = midwatch(journal);
        command.args(["watch", "--listen", "127.0.0.1:0", "--every", "200ms", "--json"]).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let process = Running(child);
        let said: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["alerts"], true);
        let url = said["metrics_url"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap().to_owned();
        Self { _process: process, address }
    }
}

/// A server with a folder and a port of its own.
struct Server {
    _process: Running,
    _folder: TempDir,
    port: u16,
}

impl Server {
    /// Starts it, and waits until it says that it is ready.
    fn start(
        program: &Path,
        started_in: Option<&Path>,
        config: &str,
        arguments: impl Fn(&Path, u16) -> Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = Command::new(program)
            .args(arguments(folder.path(), port))
            .current_dir(started_in.unwrap_or(folder.path()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { _process: Running(child), _folder: folder, port };
        until(|| server.get("/-/ready"));
        server
    }

    /// The body of a good answer.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        // Version 1.0 knows no chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.split(' ').nth(1).filter(|status| *status == "200").map(|_| body.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        until(|| serde_json::from_str(&self.get(path)?).ok())
    }
}

/// Alertmanager, which tells nobody.
pub(crate) struct Alertmanager(Server);

impl Alertmanager {
    pub(crate) fn start(tools: &Tools) -> Self {
        let folder = tools.0.join("alertmanager");
        let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
        Self(Server::start(&folder.join("alertmanager"), Some(&folder), config, |folder, port| {
            vec![
                format!("--config.file={}", folder.join("config.yml").display()),
                format!("--storage.path={}", folder.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                // It looks for no others of its kind.
                "--cluster.listen-address=".to_owned(),
            ]
        }))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    /// The alerts that are active.
    fn alerts(&self) -> Vec<Value> {
        self.0.json("/api/v2/alerts?active=true").as_array().cloned().unwrap_or_default()
    }

    /// Their names.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.alerts()
            .iter()
            .filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned()))
            .collect()
    }

    /// One of this name.
    pub(crate) fn alert(&self, name: &str) -> Option<Value> {
        self.alerts().into_iter().find(|alert| alert["labels"]["alertname"] == name)
    }
}

/// Prometheus with the project's own rules.
pub(crate) struct Prometheus(Server);

impl Prometheus {
    pub(crate) fn start(tools: &Tools, watch: &Watch, alertmanager: &Alertmanager) -> Self {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/prometheus/midwatch-rules.yml");
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
             rule_files: [{rules:?}]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: [\"127.0.0.1:{port}\"]}}]}}]}}\n\
             scrape_configs: [{{job_name: midwatch, static_configs: [{{targets: [{address:?}]}}]}}]\n",
            port = alertmanager.0.port,
            address = watch.address,
        );
        Self(Server::start(&tools.0.join("prometheus"), None, &config, |folder, port| {
            vec![
                format!("--config.file={}", folder.join("config.yml").display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]
        }))
    }

    /// What Prometheus does not like about what is served.
    pub(crate) fn trouble_of_the_scrape(&self) -> String {
        let targets = self.0.json("/api/v1/targets");
        let target = &targets["data"]["activeTargets"][0];
        assert_eq!(target["health"], "up", "{targets}");
        target["lastError"].as_str().unwrap().to_owned()
    }

    /// The families that it has read.
    pub(crate) fn families(&self) -> BTreeSet<String> {
        let metadata = self.0.json("/api/v1/metadata");
        metadata["data"].as_object().unwrap().keys().cloned().collect()
    }
}

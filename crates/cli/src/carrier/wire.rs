//! As much of Temporal's gRPC API as is read here; what else its messages hold is skipped over.

use std::error::Error as _;

use anyhow::Context as _;
use prost::Message;
use prost_types::{Duration, Timestamp};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::tls::{CLIENT, Environment, told};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Execution {
    #[prost(string, tag = "1")]
    pub(super) workflow_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DescribeExecution {
    #[prost(string, tag = "1")]
    pub(super) namespace: String,
    #[prost(message, optional, tag = "2")]
    pub(super) execution: Option<Execution>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExecutionDescribed {
    #[prost(message, optional, tag = "2")]
    pub(super) info: Option<ExecutionInfo>,
    #[prost(message, repeated, tag = "3")]
    pub(super) activities: Vec<Activity>,
    #[prost(message, optional, tag = "5")]
    pub(super) task: Option<WorkflowTask>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExecutionInfo {
    #[prost(int32, tag = "5")]
    pub(super) status: i32,
    #[prost(string, tag = "13")]
    pub(super) task_queue: String,
    #[prost(string, tag = "21")]
    pub(super) first_run_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Failure {
    #[prost(string, tag = "1")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Activity {
    #[prost(message, optional, tag = "2")]
    pub(super) of: Option<Named>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(message, optional, tag = "5")]
    pub(super) last_heartbeat: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub(super) last_started: Option<Timestamp>,
    #[prost(message, optional, tag = "9")]
    pub(super) scheduled: Option<Timestamp>,
    #[prost(message, optional, tag = "11")]
    pub(super) last_failure: Option<Failure>,
    #[prost(string, tag = "12")]
    pub(super) worker: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkflowTask {
    #[prost(message, optional, tag = "2")]
    pub(super) scheduled: Option<Timestamp>,
    #[prost(int32, tag = "5")]
    pub(super) attempt: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DescribeQueue {
    #[prost(string, tag = "1")]
    pub(super) namespace: String,
    #[prost(message, optional, tag = "2")]
    pub(super) queue: Option<Named>,
    #[prost(int32, tag = "3")]
    pub(super) kind: i32,
    #[prost(bool, tag = "8")]
    pub(super) with_stats: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct QueueDescribed {
    #[prost(message, repeated, tag = "1")]
    pub(super) pollers: Vec<Poller>,
    #[prost(message, optional, tag = "5")]
    pub(super) stats: Option<Stats>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Poller {
    #[prost(message, optional, tag = "1")]
    pub(super) last: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub(super) identity: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Stats {
    #[prost(int64, tag = "1")]
    pub(super) backlog: i64,
    #[prost(message, optional, tag = "2")]
    pub(super) backlog_age: Option<Duration>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refusal {
    /// Whether the server does not know what it was asked about.
    pub(super) is_unknown: bool,
    text: String,
}

impl Refusal {
    fn of(status: &tonic::Status, is_unnamed: bool) -> Self {
        match status.source() {
            Some(_) => Self::broken(status, is_unnamed),
            None => {
                Self { is_unknown: status.code() == tonic::Code::NotFound, text: status.message().to_owned() }
            }
        }
    }

    /// The connection broke; some servers end it so that want to know who asks.
    fn broken(error: &(dyn std::error::Error + 'static), is_unnamed: bool) -> Self {
        let why = told(error);
        let text = match is_unnamed {
            true => format!("{why}, as where a server asks who we are: {CLIENT}"),
            false => why,
        };
        Self { is_unknown: false, text }
    }
}

/// A server's workflow service.
pub(super) struct Service {
    grpc: tonic::client::Grpc<Channel>,
    /// What is said with each question, on connections that nobody can read.
    key: Option<MetadataValue<Ascii>>,
    /// Whether nobody can read it, and we did not say who we are.
    is_unnamed: bool,
}

impl Service {
    /// Connects to `host:port`, or to a URL.
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let environment =
            Environment { get: &|name| std::env::var(name).ok(), read: &|path| std::fs::read(path) };
        let scheme = if environment.is_private() { "https" } else { "http" };
        let url = if address.contains("://") { address.to_owned() } else { format!("{scheme}://{address}") };
        let is_private = url.starts_with("https://");
        let mut endpoint = Channel::from_shared(url).context("no address")?;
        if is_private {
            // Who installed another provider before keeps it; that is what the error here says.
            let _ = rustls::crypto::ring::default_provider().install_default();
            endpoint = endpoint.tls_config(environment.tls()?)?;
        }
        let channel = endpoint.connect().await.map_err(|error| anyhow::anyhow!("{}", told(&error)))?;
        let key = std::env::var("TEMPORAL_API_KEY").ok().filter(|key| is_private && !key.is_empty());
        let key = key.map(|key| format!("Bearer {key}").parse()).transpose();
        Ok(Self {
            is_unnamed: is_private && environment.is_unnamed(),
            grpc: tonic::client::Grpc::new(channel),
            key: key.context("TEMPORAL_API_KEY is no header")?,
        })
    }

    /// Asks one question.
    pub(super) async fn ask<Q, A>(&mut self, method: &'static str, question: Q) -> Result<A, Refusal>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let is_unnamed = self.is_unnamed;
        self.grpc.ready().await.map_err(|error| Refusal::broken(&error, is_unnamed))?;
        let path = format!("/temporal.api.workflowservice.v1.WorkflowService/{method}");
        let path = PathAndQuery::try_from(path)
            .map_err(|error| Refusal { is_unknown: false, text: error.to_string() })?;
        let mut request = tonic::Request::new(question);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        let asked = self.grpc.unary(request, path, ProstCodec::default()).await;
        asked.map(tonic::Response::into_inner).map_err(|status| Refusal::of(&status, is_unnamed))
    }
}

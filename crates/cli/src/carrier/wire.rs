//! As much of Temporal's gRPC API as is read here; what else its messages hold is skipped over.

use anyhow::Context as _;
use prost::Message;
use prost_types::{Duration, Timestamp};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig};
use tonic_prost::ProstCodec;

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

/// A server's workflow service.
pub(super) struct Service {
    grpc: tonic::client::Grpc<Channel>,
    /// What is said with each question, on connections that nobody can read.
    key: Option<MetadataValue<Ascii>>,
}

impl Service {
    /// Connects to `host:port`, or to a URL.
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let key = std::env::var("TEMPORAL_API_KEY").ok().filter(|key| !key.is_empty());
        let scheme = if key.is_some() { "https" } else { "http" };
        let url = if address.contains("://") { address.to_owned() } else { format!("{scheme}://{address}") };
        let is_private = url.starts_with("https://");
        let mut endpoint = Channel::from_shared(url).context("no address")?;
        if is_private {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots())?;
        }
        let channel = endpoint.connect().await.map_err(|error| anyhow::anyhow!("{}", root(&error)))?;
        let key = key.filter(|_| is_private).map(|key| format!("Bearer {key}").parse());
        let key = key.transpose().context("TEMPORAL_API_KEY is no header")?;
        Ok(Self { grpc: tonic::client::Grpc::new(channel), key })
    }

    /// Asks one question.
    pub(super) async fn ask<Q, A>(&mut self, method: &'static str, question: Q) -> anyhow::Result<A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.grpc.ready().await?;
        let path = format!("/temporal.api.workflowservice.v1.WorkflowService/{method}");
        let mut request = tonic::Request::new(question);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        let asked = self.grpc.unary(request, PathAndQuery::try_from(path)?, ProstCodec::default()).await;
        match asked {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => anyhow::bail!("{}", status.message()),
        }
    }
}

/// The first cause of an error: those above it say less.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

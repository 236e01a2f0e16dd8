//! BigQuery's Storage APIs: rows as Arrow over gRPC, to be read in several streams and written exactly once.
//!
//! | module | what it does |
//! |---|---|
//! | `read` | a table as it is at one moment, in streams that go on where they stopped |
//! | `write` | write streams: rows at an offset, which are there once however often they are sent |
//! | `arrow_rows` | Arrow as it comes → the columns that REST gives, and Arrow as BigQuery takes it |
//! | `endpoint` | where the service is |
//! | `wire` | a connection, its calls, their messages: gRPC over HTTP/2 |
//! | `messages` | the messages, as far as they are used |
//! | `status` | how a call ended, and what to do about it |
//!
//! Callers are not asynchronous: each call here runs on a small runtime of its own and returns when it is done.

mod arrow_rows;
mod endpoint;
mod messages;
mod read;
mod status;
mod wire;
mod write;

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::runtime::{Builder, Runtime};

pub(super) use self::endpoint::Endpoint;
pub use self::read::ReadSession;
use self::status::{Status, UNAUTHENTICATED};
use self::wire::{Call, Connection};
pub use self::write::{Appended, Finalized, WriteStream};
use super::auth::{PATIENCE_DEFAULT, percent_encoded};
use super::client::Client;
use super::fault::{Fault, FaultKind};
use super::tables::TableId;
use crate::error::{EngineError, Result};

/// First and longest pause between attempts; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// What was asked for, or why the Storage APIs are not to be had: the reason is no error where another way is open.
#[derive(Debug)]
pub enum Offered<T> {
    /// It is here.
    Given(T),
    /// Not allowed, not switched on, or not there.
    Refused(Fault),
}

/// The Storage APIs of a target.
#[derive(Debug)]
pub struct Storage {
    client: Arc<Client>,
    endpoint: Endpoint,
    runtime: Runtime,
}

/// How often and how long something is tried again.
#[derive(Debug, Clone, Copy)]
struct Patience {
    left: Duration,
    pause: Duration,
    /// Whether a token was replaced already.
    renewed: bool,
}

impl Storage {
    /// The Storage APIs of a client's target; nothing is sent yet.
    ///
    /// # Errors
    /// A machine that gives no threads.
    pub fn new(client: Arc<Client>) -> Result<Offered<Self>> {
        let Some(endpoint) = client.storage_endpoint.clone() else {
            let what = "the target has an `api_endpoint` and no `storage_api_endpoint`";
            return Ok(Offered::Refused(Fault::new(FaultKind::Setting, what)));
        };
        // One thread moves bytes while the caller's works on rows.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bigquery-storage")
            .enable_all()
            .build()
            .map_err(|error| EngineError::Internal(format!("no thread for BigQuery: {error}")))?;
        Ok(Offered::Given(Self { client, endpoint, runtime }))
    }

    fn patience(&self) -> Patience {
        let left = self.client.settings.retry_seconds.map_or(PATIENCE_DEFAULT, Duration::from_secs);
        Patience { left, pause: PAUSE_FIRST, renewed: false }
    }

    /// Waits before another attempt, when that may help.
    async fn again(&self, status: Status, patience: &mut Patience) -> Result<(), Status> {
        // A token may end early: another one, once.
        if status.code == UNAUTHENTICATED && !patience.renewed && self.client.tokens.forget() {
            patience.renewed = true;
            return Ok(());
        }
        if !status.passes() || patience.pause > patience.left {
            return Err(status);
        }
        tokio::time::sleep(patience.pause).await;
        patience.left -= patience.pause;
        patience.pause = (patience.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    /// Begins a call on a connection of its own. `about` names the resource, by which Google finds the place of it.
    async fn call(&self, path: &str, about: (&str, &str)) -> Result<Call, Failed> {
        let now = (self.client.settings.now)();
        let token = self.client.tokens.token(&self.client.transport, now).map_err(Failed::Fault)?;
        let mut headers =
            vec![("x-goog-request-params", format!("{}={}", about.0, percent_encoded(about.1)))];
        if let Some(token) = token {
            headers.push(("authorization", format!("Bearer {token}")));
        }
        if let Some(project) = &self.client.settings.quota_project {
            headers.push(("x-goog-user-project", project.clone()));
        }
        let connection = Connection::open(&self.endpoint).await?;
        Ok(connection.call(path, &headers).await?)
    }

    /// One request, one answer; sent again while that may help, so it must be harmless twice.
    async fn ask<A: Message + Default>(
        &self,
        path: &str,
        about: (&str, &str),
        request: &impl Message,
        passes: impl Fn(&Status) -> bool,
    ) -> Result<A, Failed> {
        let mut patience = self.patience();
        loop {
            match self.asked(path, about, request).await {
                Err(Failed::Status(status)) => {
                    let status =
                        if passes(&status) { Status::lost(status.message) } else { status };
                    self.again(status, &mut patience).await?;
                }
                other => return other,
            }
        }
    }

    async fn asked<A: Message + Default>(
        &self,
        path: &str,
        about: (&str, &str),
        request: &impl Message,
    ) -> Result<A, Failed> {
        let mut call = self.call(path, about).await?;
        call.send(request, true)?;
        let answer = call.next().await?.ok_or_else(|| Status::odd("the answer is empty"))?;
        // The status comes after the answer.
        call.next::<A>().await?;
        Ok(answer)
    }
}

/// Why a call failed: the service, or what came before it.
#[derive(Debug)]
enum Failed {
    Status(Status),
    Fault(Fault),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Failed> for EngineError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Status(status) => status.fault().into(),
            Failed::Fault(fault) => fault.into(),
        }
    }
}

/// A table's name as the Storage APIs write it.
fn resource(table: &TableId) -> String {
    format!("projects/{}/datasets/{}/tables/{}", table.project, table.dataset, table.table)
}

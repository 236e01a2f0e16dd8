//! The calls.

use std::fmt;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde_json::{Map, Value, json};

use super::auth::{Credentials, PATIENCE_DEFAULT, Tokens, is_safe, percent_encoded};
use super::fault::{Fault, FaultKind, kind_of, position, reason_of};
use super::job::{Done, Query, clean_id, clean_label, envelope};
use super::rows;
use super::storage::Endpoint;
use super::transport::{Answer, Call, Transport};
use crate::error::{EngineError, Result};

/// Google's address.
const ENDPOINT: &str = "https://bigquery.googleapis.com";

/// Rows asked for at once; BigQuery cuts at 10 MB anyway.
pub(super) const PAGE_ROWS: usize = 20_000;

/// First and longest pause between two looks at a running job.
const POLL_FIRST: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(2);

/// A target in BigQuery. The keys are those of dbt-bigquery.
#[derive(Clone)]
pub struct Settings {
    /// Project of the tables.
    pub project: String,
    /// Project that runs and pays for the jobs, when it is another.
    pub execution_project: Option<String>,
    /// Project whose quota is used, when it is another.
    pub quota_project: Option<String>,
    /// Dataset of names that state none.
    pub dataset: String,
    /// Where jobs run: `EU`, `US`, `europe-west1`.
    pub location: Option<String>,
    /// Address instead of Google's: an emulator, a private endpoint.
    pub api_endpoint: Option<String>,
    /// Address of the Storage APIs instead of Google's.
    pub storage_api_endpoint: Option<String>,
    /// Whose rights are used.
    pub credentials: Credentials,
    /// `batch` waits for free capacity.
    pub batch: bool,
    /// Bytes that one query may bill at most.
    pub maximum_bytes_billed: Option<u64>,
    /// Time that a job may take, in seconds.
    pub job_timeout_seconds: Option<u64>,
    /// Time that requests are tried again for, in seconds.
    pub retry_seconds: Option<u64>,
    /// Labels of every job.
    pub labels: Vec<(String, String)>,
    /// Begins every job's id.
    pub job_prefix: String,
    /// Tells seconds since 1970.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// Without the clock, and without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("project", &self.project)
            .field("api_endpoint", &self.api_endpoint)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// A connection to BigQuery. Cheap to share between threads.
#[derive(Debug)]
pub struct Client {
    pub(super) settings: Settings,
    pub(super) base: String,
    /// Where the Storage APIs are, unless that is not known.
    pub(super) storage_endpoint: Option<Endpoint>,
    pub(super) transport: Transport,
    pub(super) tokens: Tokens,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// An address that secrets would be sent to unencrypted.
    pub fn new(settings: Settings) -> Result<Self> {
        let base = settings.api_endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
        let base = match base.contains("://") {
            true => base.to_owned(),
            false => format!("https://{base}"),
        };
        if !is_safe(&base) {
            let what = format!("`api_endpoint` {base} is not encrypted");
            let fault = Fault::new(FaultKind::Setting, what)
                .hinted("use https://, or http:// on this machine only");
            return Err(fault.into());
        }
        let storage_endpoint = Endpoint::of(
            settings.storage_api_endpoint.as_deref(),
            settings.api_endpoint.as_deref(),
        )?;
        let patience = settings.retry_seconds.map_or(PATIENCE_DEFAULT, Duration::from_secs);
        let tokens = Tokens::new(settings.credentials.clone());
        let transport = Transport::new(patience);
        Ok(Self { settings, base, storage_endpoint, transport, tokens })
    }

    /// The target.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whose rights are used, without secrets.
    pub fn who(&self) -> String {
        self.tokens.credentials().told()
    }

    /// Project that runs the jobs.
    pub(super) fn billed(&self) -> &str {
        self.settings.execution_project.as_deref().unwrap_or(&self.settings.project)
    }

    /// Asks for a token, so that a fault of the credentials shows.
    ///
    /// # Errors
    /// Credentials that are not accepted.
    pub fn sign_in(&self) -> Result<()> {
        self.tokens.token(&self.transport, (self.settings.now)())?;
        Ok(())
    }

    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
        repeatable: bool,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut renewed = false;
        loop {
            let mut headers = Vec::new();
            if !body.is_empty() {
                headers.push(("content-type", kind.to_owned()));
            }
            if let Some(token) = self.tokens.token(&self.transport, (self.settings.now)())? {
                headers.push(("authorization", format!("Bearer {token}")));
            }
            if let Some(project) = &self.settings.quota_project {
                headers.push(("x-goog-user-project", project.clone()));
            }
            let call = Call { method, url: &url, headers, body, repeatable };
            let answer = self.transport.send(&call)?;
            // A token may end early: another one, once.
            if answer.status == 401 && !renewed && self.tokens.forget() {
                renewed = true;
                continue;
            }
            return Ok(answer);
        }
    }

    pub(super) fn json(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        again: bool,
    ) -> Result<Answer> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        self.call(method, path, "application/json", &body, again)
    }

    pub(super) fn get(&self, path: &str) -> Result<Value> {
        good(self.json("GET", path, None, true)?)
    }

    pub(super) fn project_path(project: &str) -> String {
        format!("/bigquery/v2/projects/{}", percent_encoded(project))
    }

    pub(super) fn labels(&self, own: &[(String, String)]) -> Map<String, Value> {
        let all = self.settings.labels.iter().chain(own);
        all.map(|(key, value)| (clean_label(key), clean_label(value).into())).collect()
    }

    fn query_configuration(&self, query: &Query) -> Value {
        let mut settings = json!({
            "query": query.sql,
            "useLegacySql": false,
            "defaultDataset": { "projectId": self.settings.project, "datasetId": self.settings.dataset },
            "priority": if self.settings.batch { "BATCH" } else { "INTERACTIVE" },
        });
        let limits = [query.maximum_bytes_billed, self.settings.maximum_bytes_billed];
        if let Some(limit) = limits.into_iter().flatten().min() {
            settings["maximumBytesBilled"] = limit.to_string().into();
        }
        json!({ "query": settings, "labels": self.labels(&query.labels) })
    }

    /// What a query would read, without running it.
    ///
    /// # Errors
    /// SQL faults, tables that are not there.
    pub fn dry_run(&self, sql: &str) -> Result<Done> {
        let query = Query { sql: sql.to_owned(), ..Query::default() };
        let mut configuration = self.query_configuration(&query);
        configuration["dryRun"] = true.into();
        // The limit would turn the estimate into an error.
        if let Some(settings) = configuration["query"].as_object_mut() {
            settings.remove("maximumBytesBilled");
        }
        let location = self.settings.location.as_deref();
        let mut body = json!({ "configuration": configuration });
        if let Some(location) = location {
            body["jobReference"] = json!({ "projectId": self.billed(), "location": location });
        }
        let path = format!("{}/jobs", Self::project_path(self.billed()));
        let answer = good(self.json("POST", &path, Some(&body), true)?)?;
        Ok(Done::of(&answer))
    }

    /// Runs a query to its end. Sending it again is safe: its id is ours, and BigQuery runs an id once.
    ///
    /// # Errors
    /// SQL faults, limits, missing rights.
    pub fn query(&self, query: &Query) -> Result<Done> {
        let id = format!("{}_{}", self.settings.job_prefix, clean_id(&query.id));
        let location = self.settings.location.as_deref();
        let mut configuration = self.query_configuration(query);
        if let Some(seconds) = self.settings.job_timeout_seconds {
            configuration["jobTimeoutMs"] = (seconds * 1000).to_string().into();
        }
        let body = envelope(self.billed(), location, &id, configuration);
        let path = format!("{}/jobs", Self::project_path(self.billed()));
        let started = self.json("POST", &path, Some(&body), true)?;
        let (job, attached) = self.started(started, &id)?;
        let job = self.finished(job, &id)?;
        let mut done = Done { attached, ..Done::of(&job) };
        if query.rows {
            self.read_rows(&id, location_of(&job).or(location), &mut done)?;
        }
        Ok(done)
    }

    /// Rows of a query as Arrow.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn rows(&self, query: &Query) -> Result<(SchemaRef, RecordBatch, Done)> {
        let query = Query { rows: true, ..query.clone() };
        let mut done = self.query(&query)?;
        let rows = std::mem::take(&mut done.rows);
        let (schema, batch) = rows::batch(&done.fields, &rows)?;
        Ok((schema, batch, done))
    }

    /// The job that a request started, or that an earlier attempt had started; whether it was the latter.
    pub(super) fn started(&self, answer: Answer, id: &str) -> Result<(Value, bool)> {
        if answer.status == 409 {
            return Ok((self.job(id, self.settings.location.as_deref())?, true));
        }
        Ok((good(answer)?, false))
    }

    fn job(&self, id: &str, location: Option<&str>) -> Result<Value> {
        self.get(&self.job_path(id, location))
    }

    /// A job's path; its place is the target's where none is stated.
    pub(super) fn job_path(&self, id: &str, location: Option<&str>) -> String {
        let place = location
            .or(self.settings.location.as_deref())
            .map(|place| format!("?location={}", percent_encoded(place)))
            .unwrap_or_default();
        format!("{}/jobs/{}{place}", Self::project_path(self.billed()), percent_encoded(id))
    }

    /// Waits for the end of a job.
    pub(super) fn finished(&self, mut job: Value, id: &str) -> Result<Value> {
        let mut pause = POLL_FIRST;
        let mut waited = Duration::ZERO;
        loop {
            if job["status"]["state"].as_str() == Some("DONE") {
                let error = &job["status"]["errorResult"];
                return if error.is_object() { Err(of_job(error)) } else { Ok(job) };
            }
            if let Some(limit) = self.settings.job_timeout_seconds.map(Duration::from_secs)
                && waited > limit
            {
                self.cancel(id);
                let what = format!("it took longer than {} s", limit.as_secs());
                return Err(Fault::new(FaultKind::Stopped, what).into());
            }
            sleep(pause);
            waited += pause;
            pause = (pause * 3 / 2).min(POLL_MAX);
            let place = location_of(&job).map(str::to_owned);
            job = self.job(id, place.as_deref().or(self.settings.location.as_deref()))?;
        }
    }

    /// Stops a job; that it ended by itself is as good.
    fn cancel(&self, id: &str) {
        let path =
            format!("{}/jobs/{}/cancel", Self::project_path(self.billed()), percent_encoded(id));
        let _ = self.json("POST", &path, Some(&json!({})), false);
    }

    fn read_rows(&self, id: &str, location: Option<&str>, done: &mut Done) -> Result<()> {
        let base = format!("{}/queries/{}", Self::project_path(self.billed()), percent_encoded(id));
        let mut query = format!("?maxResults={PAGE_ROWS}&formatOptions.useInt64Timestamp=true");
        if let Some(location) = location {
            query.push_str(&format!("&location={}", percent_encoded(location)));
        }
        let mut page = String::new();
        loop {
            let answer = self.get(&format!("{base}{query}{page}"))?;
            if let Some(fields) = answer["schema"]["fields"].as_array() {
                done.fields.clone_from(fields);
            }
            let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
            done.rows.extend(rows.iter().cloned());
            match answer["pageToken"].as_str().filter(|_| !rows.is_empty()) {
                Some(token) => page = format!("&pageToken={}", percent_encoded(token)),
                None => return Ok(()),
            }
        }
    }
}

fn location_of(job: &Value) -> Option<&str> {
    job["jobReference"]["location"].as_str()
}

/// The body of a good answer, or the answer's error.
pub(super) fn good(answer: Answer) -> Result<Value> {
    if answer.status < 400 {
        return Ok(answer.body);
    }
    let (reason, message) = answer.reason();
    Err(told(answer.status, &reason, message))
}

/// The body of a good answer; `None` for what does not exist.
pub(super) fn absent(answer: Answer) -> Result<Option<Value>> {
    if answer.status == 404 {
        return Ok(None);
    }
    good(answer).map(Some)
}

/// The error of a job that ended badly.
fn of_job(error: &Value) -> EngineError {
    let (reason, message) = reason_of(error);
    told(400, &reason, message)
}

pub(super) fn told(status: u16, reason: &str, message: String) -> EngineError {
    match kind_of(status, reason) {
        Some(kind) => Fault::new(kind, message).into(),
        None => EngineError::Sql {
            position: position(&message),
            subject: subject(&message),
            candidates: Vec::new(),
            planning: reason != "resourcesExceeded",
            message,
        },
    }
}

/// The name in `Unrecognized name: a at [1:8]`.
fn subject(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("Unrecognized name: ")?;
    Some(rest.split([' ', ';']).next()?.to_owned())
}

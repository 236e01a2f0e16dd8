//! Tables and clock as the server asks for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Error;
use clicktrail_eventlog::{Appender, LogError};
use clicktrail_pipeline::{Clock, Inlet, Live, PipelineError, QueryResult};
use clicktrail_server::{
    Ask, Column, LiveStatus, QueryAnswer, QueryFailure, QueryFailureKind, QueryRequest,
};
use serde_json::Value;

use crate::output::{RowFormat, write_rows};

/// Why the server ends.
pub(in crate::commands) enum Ends {
    /// By a signal or a key.
    Asked,
    /// To start anew with the project as it is now.
    Rebuild,
    /// The log can't be written any more.
    Fatal(LogError),
}

/// The machine's clock, for the server.
pub(super) struct ServerClock(pub(super) Arc<dyn Clock>);

impl clicktrail_server::Clock for ServerClock {
    fn now_micros(&self) -> i64 {
        self.0.now_micros()
    }

    fn seconds(&self) -> f64 {
        self.0.seconds()
    }
}

/// The live tables.
pub(super) struct Followed {
    live: Arc<Live>,
    inlet: Inlet,
    appender: Appender,
    phase: Mutex<String>,
}

impl Followed {
    pub(super) fn new(live: Arc<Live>, inlet: Inlet, appender: Appender) -> Self {
        Self { live, inlet, appender, phase: Mutex::new("starting".into()) }
    }

    /// The last frame that is on disk.
    pub(super) fn durable_seq(&self) -> u64 {
        self.appender.durable_seq()
    }

    /// What is being done, in words.
    pub(super) fn set_phase(&self, phase: &str) {
        phase.clone_into(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl clicktrail_server::Live for Followed {
    fn status(&self) -> LiveStatus {
        let status = self.live.status();
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone();
        LiveStatus {
            ready: status.ready && phase == "live",
            phase: match &status.failed {
                Some(problem) => format!("stands still: {}", problem.message),
                None => phase,
            },
            stale: None,
            durable_seq: self.appender.durable_seq(),
            applied_seq: status.applied_seq,
            lag_seconds: self.inlet.lag_seconds(),
            events: status.events - status.duplicates - status.superseded,
            duplicates: status.duplicates,
            late: status.late,
            waiting_persons: status.waiting_persons,
            live_batch_mismatch: status.mismatches,
            tables: status.rows,
        }
    }

    fn query(&self, request: &QueryRequest) -> Result<QueryAnswer, QueryFailure> {
        if let Some(seq) = request.min_seq
            && !self.live.wait_for(seq, request.timeout.min(Duration::from_secs(30)))
        {
            return Err(QueryFailure {
                code: "not_so_far".into(),
                message: format!("the tables do not hold frame {seq} yet"),
                hint: Some("ask again; `clicktrail status` shows how far they are".into()),
                kind: QueryFailureKind::Unavailable,
            });
        }
        let rows = self
            .live
            .query(&sql_of(&request.ask))
            .map_err(|error| failure(&error, &request.ask))?;
        answered(rows.seq, rows.result, request.limit)
    }
}

/// What is asked, as SQL.
pub(super) fn sql_of(ask: &Ask) -> String {
    match ask {
        Ask::Sql(sql) => sql.clone(),
        Ask::Table(name) => format!("select * from {name}"),
    }
}

/// Rows as an answer.
pub(super) fn answered(
    seq: u64,
    result: QueryResult,
    limit: usize,
) -> Result<QueryAnswer, QueryFailure> {
    answer(seq, result, limit).map_err(|error| QueryFailure {
        code: "E3999".into(),
        message: format!("{error:#}"),
        hint: None,
        kind: QueryFailureKind::Internal,
    })
}

/// A failed query as its asker is told.
pub(super) fn failure(error: &PipelineError, ask: &Ask) -> QueryFailure {
    use clicktrail_pipeline::Kind;
    let kind = match (error.kind(), ask) {
        (Kind::Unavailable, _) => QueryFailureKind::Unavailable,
        (Kind::Internal, _) => QueryFailureKind::Internal,
        (_, Ask::Table(_)) if error.code() == "E3001" => QueryFailureKind::NotFound,
        _ => QueryFailureKind::Query,
    };
    told(error, kind)
}

/// An error in the words of an answer.
pub(super) fn told(error: &PipelineError, kind: QueryFailureKind) -> QueryFailure {
    let problem = error.problem();
    QueryFailure { code: problem.code, message: problem.message, hint: problem.hint, kind }
}

/// Rows as JSON, decimals as texts so that no reader rounds them.
fn answer(seq: u64, result: QueryResult, limit: usize) -> Result<QueryAnswer, Error> {
    let columns = result
        .schema
        .fields()
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
        })
        .collect();
    let decimals: Vec<String> = result
        .schema
        .fields()
        .iter()
        .filter(|field| matches!(field.data_type(), arrow::datatypes::DataType::Decimal128(_, _)))
        .map(|field| field.name().clone())
        .collect();
    let mut lines = Vec::new();
    let total: usize = result.batches.iter().map(|batch| batch.num_rows()).sum();
    let mut left = limit;
    let batches = result
        .batches
        .iter()
        .map(|batch| {
            let part = batch.slice(0, batch.num_rows().min(left));
            left -= part.num_rows();
            part
        })
        .collect();
    write_rows(
        &QueryResult { schema: result.schema, batches },
        RowFormat::Ndjson,
        None,
        &mut lines,
    )?;
    let rows = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut row: Value = serde_json::from_slice(line)?;
            for name in &decimals {
                if let Some(value) = row.get_mut(name)
                    && value.is_number()
                {
                    *value = Value::String(value.to_string());
                }
            }
            Ok(row)
        })
        .collect::<Result<_, serde_json::Error>>()?;
    Ok(QueryAnswer { seq, columns, rows, truncated: total > limit })
}

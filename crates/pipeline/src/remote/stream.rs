//! Events into the table `events_stream` of a target in BigQuery, where `live_stream: "yes"` has the models read them.

use std::sync::Arc;

use clicktrail_engine::bigquery::{Client, Load, fields_of};
use serde_json::Value;

use super::{ensure_dataset, table_id, target};
use crate::error::{PipelineError, Result};
use crate::workspace::Workspace;

/// The table.
const TABLE: &str = "events_stream";

/// Events for BigQuery, numbered by who sends them.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// Rows in the shape of the export, one JSON object each.
    pub lines: &'a [Vec<u8>],
    /// Who numbers the events.
    pub producer: &'a str,
    /// Number of the first line.
    pub offset: u64,
    /// Send rows one by one through `insertAll`, which shows them at once and may show one twice; else by one load job,
    /// which adds them once.
    pub insert: bool,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SentRows {
    /// Rows that are in the table now by this call.
    pub added: u64,
    /// Rows that an earlier call with the same numbers had added.
    pub already: u64,
    /// Rows that were refused: number and reason.
    pub refused: Vec<(u64, String)>,
}

/// A connection for events.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    fields: Vec<Value>,
    dataset: String,
}

impl Workspace {
    /// Opens a way for events to the target's BigQuery; the table is made where it is missing.
    ///
    /// # Errors
    /// A target of another kind, credentials.
    pub fn sender(&self) -> Result<Sender> {
        target::required(self, "leave out `--target`: events go to `clicktrail serve` then")?;
        let dataset = self.project.target.schema.clone();
        // Ids are made of producer and number alone, so that a resend by another process is recognised.
        let prefix = format!("clicktrail_{dataset}_{TABLE}");
        let client = target::client_with(self, Some(prefix))?;
        let project = client.settings().project.clone();
        ensure_dataset(&client, &project, &dataset)?;
        let fields = fields_of(&clicktrail_ingest::schema::events())?;
        let id = table_id(&client, None, &dataset, TABLE);
        if client.table(&id)?.is_none() {
            client.create_table(&id, &fields)?;
        }
        Ok(Sender { client, fields, dataset })
    }
}

impl Sender {
    /// Sends a batch; with the same producer and numbers again it adds nothing (by load jobs).
    ///
    /// # Errors
    /// The batch as a whole.
    pub fn send(&self, sending: Sending<'_>) -> Result<SentRows> {
        let Sending { lines, producer, offset, insert } = sending;
        let table = table_id(&self.client, None, &self.dataset, TABLE);
        if insert {
            let bad = |error: serde_json::Error| PipelineError::Setting {
                message: format!("an event is no JSON: {error}"),
                hint: None,
            };
            let rows = lines
                .iter()
                .map(|line| serde_json::from_slice(line).map_err(bad))
                .collect::<Result<Vec<Value>>>()?;
            let ids: Vec<String> = (0..lines.len() as u64)
                .map(|number| format!("{producer}:{}", offset + number))
                .collect();
            let refused = self.client.insert_all(&table, &rows, &ids)?;
            let refused: Vec<(u64, String)> =
                refused.into_iter().map(|(index, why)| (offset + index as u64, why)).collect();
            let added = (lines.len() - refused.len()) as u64;
            return Ok(SentRows { added, refused, ..SentRows::default() });
        }
        let load = Load {
            id: format!("{producer}_{offset}"),
            table,
            fields: self.fields.clone(),
            replace: false,
        };
        let mut bytes = lines.join(&b'\n');
        bytes.push(b'\n');
        let done = self.client.load(&load, &bytes)?;
        let count = lines.len() as u64;
        Ok(match done.attached {
            true => SentRows { already: count, ..SentRows::default() },
            false => SentRows { added: count, ..SentRows::default() },
        })
    }

    /// Names the table.
    pub fn table(&self) -> Arc<str> {
        format!("{}.{}.{TABLE}", self.client.settings().project, self.dataset).into()
    }
}

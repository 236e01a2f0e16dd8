//! Rows into tables: load jobs, streamed rows.

use serde_json::{Value, json};

use super::client::{Client, absent, good};
use super::fault::reason_of;
use super::job::{Done, Load, clean_id, envelope, load_configuration, number};
use super::tables::TableId;
use crate::error::Result;

impl Client {
    /// Loads bytes into a table by one job: all of its rows become visible at once, or none. The same id never
    /// loads twice.
    ///
    /// # Errors
    /// Rows that don't fit the columns, missing rights.
    pub fn load(&self, load: &Load, bytes: &[u8]) -> Result<Done> {
        let id = format!("{}_{}", self.settings.job_prefix, clean_id(&load.id));
        let configuration = load_configuration(load, &self.labels(&[]));
        let location = self.settings.location.as_deref();
        let body = envelope(self.billed(), location, &id, configuration);
        // A line of the body that begins with the boundary would end it: an id that no row holds.
        let boundary = format!("clicktrail-{id}");
        let mut parts = format!(
            "--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{body}\r\n\
             --{boundary}\r\ncontent-type: application/json\r\n\r\n"
        )
        .into_bytes();
        parts.extend_from_slice(bytes);
        parts.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let path =
            format!("/upload{}/jobs?uploadType=multipart", Self::project_path(self.billed()));
        let kind = format!("multipart/related; boundary={boundary}");
        let started = self.call("POST", &path, &kind, &parts, true)?;
        let (job, attached) = self.started(started, &id)?;
        let job = self.finished(job, &id)?;
        Ok(Done { attached, ..Done::of(&job) })
    }

    /// Whether the load job of this id (without its prefix) has failed for good, so that its id is used up.
    ///
    /// # Errors
    /// Rights, a service that does not answer.
    pub fn has_failed(&self, id: &str) -> Result<bool> {
        let id = format!("{}_{}", self.settings.job_prefix, clean_id(id));
        let job = absent(self.json("GET", &self.job_path(&id, None), None, true)?)?;
        Ok(job.is_some_and(|job| {
            job["status"]["state"].as_str() == Some("DONE")
                && job["status"]["errorResult"].is_object()
        }))
    }

    /// Adds rows to a table by `tabledata.insertAll`: visible within seconds, at least once. `ids` let BigQuery drop
    /// most repetitions of about a minute. Gives the rows that were refused, with the reason.
    ///
    /// # Errors
    /// The request as a whole.
    pub fn insert_all(
        &self,
        table: &TableId,
        rows: &[Value],
        ids: &[String],
    ) -> Result<Vec<(usize, String)>> {
        let path = format!("{}/insertAll", Self::table_path(table));
        let rows: Vec<Value> =
            rows.iter().zip(ids).map(|(row, id)| json!({ "insertId": id, "json": row })).collect();
        let body = json!({ "kind": "bigquery#tableDataInsertAllRequest", "rows": rows });
        let answer = good(self.json("POST", &path, Some(&body), true)?)?;
        let refused = answer["insertErrors"].as_array().into_iter().flatten();
        Ok(refused
            .map(|error| {
                let index = number(&error["index"]).unwrap_or(0);
                (usize::try_from(index).unwrap_or(0), reason_of(&error["errors"][0]).1)
            })
            .collect())
    }
}

//! What jobs are asked to do, and what became of them.

use serde_json::{Map, Value, json};

use super::tables::TableId;

/// A query job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// GoogleSQL.
    pub sql: String,
    /// Id of the job without its prefix; the same id is never run twice.
    pub id: String,
    /// Labels besides those of the target.
    pub labels: Vec<(String, String)>,
    /// Bytes that it may bill at most; the target's own limit holds as well.
    pub maximum_bytes_billed: Option<u64>,
    /// Whether rows are wanted.
    pub rows: bool,
}

/// What became of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// Bytes that the query read, or would read.
    pub bytes_processed: u64,
    /// Bytes that are paid for.
    pub bytes_billed: u64,
    /// Columns of the answer, as BigQuery writes them.
    pub fields: Vec<Value>,
    /// Rows, as BigQuery writes them; empty unless they were asked for.
    pub rows: Vec<Value>,
    /// Whether an earlier attempt had started it: nothing was run now.
    pub attached: bool,
}

/// A load job of rows, one JSON object a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Id of the job without its prefix; the same id is never run twice.
    pub id: String,
    /// Where the rows go.
    pub table: TableId,
    /// Columns, as BigQuery writes them.
    pub fields: Vec<Value>,
    /// Replace the table's rows, all at once; else add to them.
    pub replace: bool,
}

/// The part of a job's description that is the same for all.
pub(super) fn envelope(
    project: &str,
    location: Option<&str>,
    id: &str,
    configuration: Value,
) -> Value {
    let mut reference = json!({ "projectId": project, "jobId": id });
    if let Some(location) = location {
        reference["location"] = location.into();
    }
    json!({ "jobReference": reference, "configuration": configuration })
}

/// Configuration of a load.
pub(super) fn load_configuration(load: &Load, labels: &Map<String, Value>) -> Value {
    let settings = json!({
        "destinationTable": load.table.reference(),
        "schema": { "fields": load.fields },
        "sourceFormat": "NEWLINE_DELIMITED_JSON",
        "writeDisposition": if load.replace { "WRITE_TRUNCATE" } else { "WRITE_APPEND" },
        "createDisposition": "CREATE_IF_NEEDED",
    });
    json!({ "load": settings, "labels": labels })
}

/// An id that BigQuery takes: letters, digits, `_` and `-`.
pub(super) fn clean_id(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// A label's key or value: lower case, 63 characters at most.
pub(super) fn clean_label(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' })
        .take(63)
        .collect()
}

/// A number that the interface writes as text.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Done {
    /// From a job resource.
    pub(super) fn of(job: &Value) -> Self {
        let statistics = &job["statistics"];
        let query = &statistics["query"];
        let processed = number(&query["totalBytesProcessed"])
            .or_else(|| number(&statistics["totalBytesProcessed"]));
        Self {
            bytes_processed: processed.unwrap_or(0),
            bytes_billed: number(&query["totalBytesBilled"]).unwrap_or(0),
            fields: query["schema"]["fields"].as_array().cloned().unwrap_or_default(),
            rows: Vec::new(),
            attached: false,
        }
    }
}

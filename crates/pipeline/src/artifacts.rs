//! Files in `target/`: compiled SQL, manifest.json, run_results.json, sources.json, under dbt's names.

use std::fs;
use std::path::{Path, PathBuf};

use clicktrail_project::{Node, Project};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::error::{PipelineError, Result};
use crate::report::{NodeResult, RunSummary, Status};

/// Version of the shape of `run_results.json` and `sources.json`.
const SCHEMA_VERSION: u32 = 1;

/// Results of the last command.
pub(crate) const RUN_RESULTS: &str = "run_results.json";

/// Results of the last freshness check.
pub(crate) const SOURCES: &str = "sources.json";

/// Folder of the artifacts.
pub(crate) fn target_dir(project: &Project) -> PathBuf {
    project.dir.join(&project.target_path)
}

/// Where the compiled SQL of a node goes, relative to the project.
pub(crate) fn compiled_path(project: &Project, node: &Node) -> PathBuf {
    let file = if node.test_metadata.is_some() {
        // The alias is the name, shortened where a file system would refuse it.
        node.original_file_path.join(format!("{}.sql", node.alias))
    } else {
        node.original_file_path.clone()
    };
    project.target_path.join("compiled").join(&project.name).join(file)
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(PipelineError::io("create", dir))?;
    }
    fs::write(path, text).map_err(PipelineError::io("write", path))
}

/// Results as `run_results.json`, or `sources.json` for freshness.
pub(crate) fn write_results(
    project: &Project,
    file: &str,
    summary: &RunSummary,
    at_micros: i64,
    id: &str,
) -> Result<()> {
    let document = json!({
        "metadata": {
            "schema_version": SCHEMA_VERSION,
            "clicktrail_version": env!("CARGO_PKG_VERSION"),
            "generated_at": rfc3339(at_micros),
            "invocation_id": id,
        },
        "args": {"which": summary.command, "target": project.target.name},
        "elapsed_time": summary.seconds,
        "results": summary.results.iter().map(result).collect::<Vec<_>>(),
    });
    write(&target_dir(project).join(file), &format!("{document:#}\n"))
}

fn result(result: &NodeResult) -> Value {
    json!({
        "unique_id": result.unique_id,
        "status": result.status,
        "execution_time": result.seconds,
        "message": result.problem.as_ref().map_or(&result.message, |problem| &problem.message),
        "failures": result.failures,
        "adapter_response": adapter_response(result),
        "failures_table": result.failures_table,
        "problem": result.problem,
    })
}

/// Rows, and bytes under dbt-bigquery's names.
fn adapter_response(result: &NodeResult) -> Value {
    let mut response = json!({ "rows_affected": result.rows });
    if let Some(cost) = result.cost {
        response["bytes_processed"] = cost.bytes_processed.into();
        response["bytes_billed"] = cost.bytes_billed.into();
    }
    response
}

/// What a run left: its command, and the document.
fn last_document(project: &Project, file: &str) -> Result<Option<(String, Value)>> {
    let path = target_dir(project).join(file);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PipelineError::io("read", path)(error)),
    };
    let bad = || PipelineError::Setting {
        message: format!("{} is not what a run leaves", path.display()),
        hint: Some("run `clicktrail build` again".into()),
    };
    let document: Value = serde_json::from_str(&text).map_err(|_| bad())?;
    let command = document.pointer("/args/which").and_then(Value::as_str).ok_or_else(bad)?;
    let command = command.to_owned();
    document["results"].as_array().ok_or_else(bad)?;
    Ok(Some((command, document)))
}

fn results_of(document: &Value) -> impl Iterator<Item = (&str, Status, &Value)> {
    document["results"].as_array().into_iter().flatten().filter_map(|result| {
        let status = serde_json::from_value(result["status"].clone()).ok()?;
        Some((result["unique_id"].as_str()?, status, result))
    })
}

/// Unique ids and statuses of the last run, with its command; `None` when there was none.
pub(crate) fn last_run(project: &Project) -> Result<Option<(String, Vec<(String, Status)>)>> {
    let Some((command, document)) = last_document(project, RUN_RESULTS)? else {
        return Ok(None);
    };
    let results = results_of(&document).map(|(id, status, _)| (id.to_owned(), status)).collect();
    Ok(Some((command, results)))
}

/// Results of the last run (`run_results.json`) or freshness check (`sources.json`), with the time it ended in
/// microseconds since 1970; `None` when there was none, or it was one of another target.
pub(crate) fn last_summary(project: &Project, file: &str) -> Result<Option<(i64, RunSummary)>> {
    let Some((command, document)) = last_document(project, file)? else { return Ok(None) };
    let target = document.pointer("/args/target").and_then(Value::as_str);
    if target.is_some_and(|target| target != project.target.name) {
        return Ok(None);
    }
    let at = document["metadata"]["generated_at"].as_str().unwrap_or_default();
    let at = chrono::DateTime::parse_from_rfc3339(at).map_or(0, |at| at.timestamp_micros());
    let results = results_of(&document)
        .map(|(id, status, result)| {
            let node = project.manifest.nodes.get(id);
            // `model.shop.fct_credits`; tests end in a hash after their name.
            let mut parts = id.splitn(3, '.');
            let kind = parts.next().unwrap_or_default();
            let name = parts.nth(1).unwrap_or(id);
            NodeResult {
                unique_id: id.to_owned(),
                name: node.map_or(name, |node| &node.name).to_owned(),
                resource_type: kind.to_owned(),
                materialized: String::new(),
                status,
                rows: result.pointer("/adapter_response/rows_affected").and_then(Value::as_u64),
                failures: result["failures"].as_u64(),
                seconds: result["execution_time"].as_f64().unwrap_or(0.0),
                message: result["message"].as_str().unwrap_or_default().to_owned(),
                problem: serde_json::from_value(result["problem"].clone()).unwrap_or_default(),
                failures_table: result["failures_table"].as_str().map(str::to_owned),
                cost: serde_json::from_value(result["adapter_response"].clone()).ok(),
            }
        })
        .collect();
    let seconds = document["elapsed_time"].as_f64().unwrap_or(0.0);
    Ok(Some((at, RunSummary { command, results, seconds })))
}

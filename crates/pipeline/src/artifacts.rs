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
        "args": {"which": summary.command},
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
        "adapter_response": {"rows_affected": result.rows},
        "failures_table": result.failures_table,
        "problem": result.problem,
    })
}

/// Unique ids and statuses of the last run, with its command; `None` when there was none.
pub(crate) fn last_run(project: &Project) -> Result<Option<(String, Vec<(String, Status)>)>> {
    let path = target_dir(project).join("run_results.json");
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
    let results = document["results"].as_array().ok_or_else(bad)?;
    let results = results
        .iter()
        .filter_map(|result| {
            let status = serde_json::from_value(result["status"].clone()).ok()?;
            Some((result["unique_id"].as_str()?.to_owned(), status))
        })
        .collect();
    Ok(Some((command.to_owned(), results)))
}

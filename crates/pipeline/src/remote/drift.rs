//! Columns that an export lacks.
//!
//! The schema of a wildcard (`events_*`) is that of its newest table: a column which that one lacks is an unknown name
//! to BigQuery, a column which older ones lack is null in their rows. So the newest table is looked at, and what it
//! lacks is told to the macros by the var `ga4_missing_columns`: `{events_*: [batch_page_id, …]}`.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field};
use clicktrail_engine::bigquery::{Client, Fault, FaultKind, Table};
use clicktrail_project::{Project, Source};
use serde_json::{Map, Value};

use crate::error::{PipelineError, Result};
use crate::report::Reporter;
use crate::run::order::ancestors;
use crate::workspace::Workspace;

/// The var by which the macros learn of them.
pub(super) const VAR: &str = "ga4_missing_columns";

/// The project with the var set by what is found; its sources are those that the selected nodes read (all: `None`).
///
/// # Errors
/// A wildcard that matches no table.
pub(super) fn adapted(
    workspace: &Workspace,
    client: &Client,
    selected: Option<&BTreeSet<String>>,
    reporter: &dyn Reporter,
) -> Result<Project> {
    let project = &workspace.project;
    let mut options = workspace.settings.load.clone();
    let read = |source: &Source| {
        selected.is_none_or(|selected| {
            selected.iter().any(|id| ancestors(&project.manifest, id).contains(&source.unique_id))
        })
    };
    let mut missing = Map::new();
    for source in project.manifest.sources.values().filter(|source| read(source)) {
        if !source.identifier.ends_with('*') || !is_used(project, source) {
            continue;
        }
        let Some(newest) = shards(client, source)?.pop() else {
            return Err(no_tables(source, client));
        };
        let newest = super::known_table(client, &newest.id)?;
        let lacks = lacking(&newest);
        if !lacks.is_empty() {
            reporter.note(&format!("  `{}` has no {}: null", newest.id.table, shortened(&lacks)));
            missing.insert(source.identifier.clone(), lacks.into());
        }
    }
    let given = options.vars.get(VAR).and_then(Value::as_object).cloned().unwrap_or_default();
    missing.extend(given);
    options.vars.insert(VAR.into(), Value::Object(missing));
    Ok(Project::load(&options)?)
}

/// Whether a model of the project names the source: the intraday export is read only when the project says so.
pub(super) fn is_used(project: &Project, source: &Source) -> bool {
    let parents = project.manifest.parent_map.values();
    parents.flatten().any(|parent| *parent == source.unique_id)
}

/// Tables of a wildcard whose suffix is a day, the newest last.
pub(super) fn shards(client: &Client, source: &Source) -> Result<Vec<Table>> {
    let prefix = source.identifier.trim_end_matches('*');
    let project = source.database.as_deref().unwrap_or(&client.settings().project);
    let tables = client.tables(project, &source.schema, prefix)?;
    Ok(tables.into_iter().filter(|table| day_of(&table.id.table, prefix).is_some()).collect())
}

/// The day, `YYYYMMDD`, that a table's name ends with behind a prefix.
pub(super) fn day_of<'t>(table: &'t str, prefix: &str) -> Option<&'t str> {
    let suffix = table.strip_prefix(prefix)?;
    (suffix.len() == 8 && suffix.bytes().all(|byte| byte.is_ascii_digit())).then_some(suffix)
}

pub(super) fn no_tables(source: &Source, client: &Client) -> PipelineError {
    let project = source.database.as_deref().unwrap_or(&client.settings().project);
    if let Ok(None) = client.dataset(project, &source.schema) {
        let what = format!("the dataset {project}.{}", source.schema);
        return Fault::new(FaultKind::NotFound, what)
            .hinted("set the vars `ga4_project` and `ga4_dataset` to where the export lies")
            .into();
    }
    PipelineError::Setting {
        message: format!(
            "there is no table `{project}.{}.{}` with a day at its end",
            source.schema, source.identifier
        ),
        hint: Some("set the vars `ga4_project` and `ga4_dataset` to where the export lies, e.g. analytics_123456789".into()),
    }
}

/// Columns and fields of the export, as the newest schema has them, that a table lacks. Fields of lists are not
/// looked at.
pub(super) fn lacking(table: &Table) -> Vec<String> {
    let mut missing = Vec::new();
    for field in clicktrail_ingest::schema::events().fields() {
        look(field, &table.fields, "", &mut missing);
    }
    missing
}

fn look(wanted: &Field, found: &[Value], above: &str, missing: &mut Vec<String>) {
    let path = format!("{above}{}", wanted.name());
    let same = |one: &&Value| {
        one["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(wanted.name()))
    };
    let Some(found) = found.iter().find(same) else {
        missing.push(path);
        return;
    };
    if let DataType::Struct(fields) = wanted.data_type() {
        let inner = found["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        for field in fields {
            look(field, inner, &format!("{path}."), missing);
        }
    }
}

/// The first few of a list.
pub(super) fn shortened(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(4).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(shown.len()) {
        Some(more) if more > 0 => format!("{} and {more} more columns", shown.join(", ")),
        _ => shown.join(", "),
    }
}

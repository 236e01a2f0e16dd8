//! The checks of `debug`: credentials, datasets, permissions, location, sources, what a build would scan.

use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Client, Query};
use clicktrail_project::{Adapter, AdapterRelations, CompileContext, ResourceType, Source};

use super::cost::{bytes, dollars};
use super::{drift, known_table, target};
use crate::debug::{bad, good};
use crate::error::{PipelineError, Result};
use crate::report::Silent;
use crate::workspace::{Check, Workspace};

/// One line for each check; one whose ground is missing is left out.
pub(crate) fn checks(workspace: &Workspace) -> Vec<Check> {
    let client = match target::client(workspace) {
        Ok(client) => client,
        Err(error) => return vec![failed("credentials", &error)],
    };
    let mut checks = Vec::new();
    if let Err(error) = client.sign_in() {
        return vec![failed("credentials", &error.into())];
    }
    checks.push(good("credentials", client.who()));
    let settings = client.settings();
    let (project, dataset) = (settings.project.clone(), settings.dataset.clone());
    let place = settings.location.clone();
    match client.dataset(&project, &dataset) {
        Ok(None) => {
            checks.push(good("dataset", format!("{project}.{dataset}, made by the first build")))
        }
        Ok(Some(found)) => {
            let there = found.location;
            let same = place.as_deref().is_none_or(|place| place.eq_ignore_ascii_case(&there));
            checks.push(match same || there.is_empty() {
                true => good("dataset", format!("{project}.{dataset} in {there}")),
                false => bad(
                    "dataset",
                    format!(
                        "{project}.{dataset} is in {there}, the target's `location` is {}",
                        place.unwrap_or_default()
                    ),
                    format!("set `location: {there}` in the target"),
                ),
            });
        }
        Err(error) => {
            checks.push(failed("dataset", &error.into()));
            return checks;
        }
    }
    match client.query(&Query { sql: "select 1".into(), id: "debug".into(), ..Query::default() }) {
        Ok(_) => checks.push(good("jobs", "queries may be run")),
        Err(error) => {
            checks.push(failed("jobs", &error.into()));
            return checks;
        }
    }
    let mut sources_good = true;
    for source in workspace.project.manifest.sources.values() {
        if drift::is_used(&workspace.project, source) {
            let found = of_source(&client, source);
            sources_good &= found.as_ref().is_ok_and(|check| check.ok);
            let subject = format!("source {}.{}", source.source_name, source.name);
            checks.push(found.unwrap_or_else(|error| failed(&subject, &error)));
        }
    }
    if sources_good {
        checks.push(scan(workspace, &client).unwrap_or_else(|error| failed("scan", &error)));
    }
    checks
}

fn failed(subject: &str, error: &PipelineError) -> Check {
    let fix = error.hint().unwrap_or_else(|| "see docs/bigquery.md".into());
    bad(subject, error.to_string(), fix)
}

fn of_source(client: &Client, source: &Source) -> Result<Check> {
    let subject = format!("source {}.{}", source.source_name, source.name);
    if !source.identifier.ends_with('*') {
        let database = source.database.as_deref();
        let id = super::table_id(client, database, &source.schema, &source.identifier);
        let table = known_table(client, &id)?;
        return Ok(good(&subject, format!("{id}, {} rows", table.rows.unwrap_or(0))));
    }
    let shards = drift::shards(client, source)?;
    let (Some(first), Some(last)) = (shards.first(), shards.last()) else {
        return Err(drift::no_tables(source, client));
    };
    let newest = known_table(client, &last.id)?;
    let lacks = drift::lacking(&newest);
    let mut found = format!("{} tables, {} to {}", shards.len(), first.id.table, last.id.table);
    if newest.rows == Some(0) {
        return Ok(bad(
            &subject,
            format!("{found}; the newest has no rows"),
            "wait for the export, or set `ga4_to`",
        ));
    }
    if !lacks.is_empty() {
        found.push_str(&format!("; null, as it has none: {}", drift::shortened(&lacks)));
    }
    Ok(good(&subject, found))
}

/// What one reading of the export costs.
fn scan(workspace: &Workspace, client: &Client) -> Result<Check> {
    let project = drift::adapted(workspace, client, None, &Silent)?;
    let relations = AdapterRelations(Adapter::Bigquery);
    let context = CompileContext::new(&relations);
    let mut sum = 0;
    for node in project.manifest.nodes.values() {
        let parents = project.manifest.parent_map.get(&node.unique_id);
        let reads =
            parents.into_iter().flatten().any(|id| project.manifest.sources.contains_key(id));
        if node.resource_type == ResourceType::Model && reads {
            let sql = project.compile(node, &context)?.sql;
            let done =
                client.dry_run(&sql).map_err(|error: EngineError| PipelineError::from(error))?;
            sum += done.bytes_processed;
        }
    }
    let told = format!(
        "{} ({}) for each reading of all the export's columns in use",
        bytes(sum),
        dollars(sum)
    );
    Ok(good("scan", told))
}

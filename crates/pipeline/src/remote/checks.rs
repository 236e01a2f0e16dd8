//! Data tests and unit tests.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use clicktrail_engine::bigquery::sql_type;
use clicktrail_project::{
    CompileContext, InputName, Node, Relations, ResourceType, Rows, Source, UnitTest,
};
use serde_json::{Map, Value};

use super::materialize::quoted;
use super::{Remote, drift, known_table, shifted, table_id};
use crate::error::{PipelineError, Result};
use crate::report::{NodeResult, Status};
use crate::run::{tests, unit_tests};

/// Runs a data test.
pub(super) fn data_test(remote: &Remote<'_>, node: &Node, result: &mut NodeResult) -> Result<()> {
    if let Some(missing) = not_built(remote, node) {
        result.status = Status::Skipped;
        result.message = format!("`{missing}` is not built");
        return Ok(());
    }
    let sql = remote.compile(node)?.sql;
    let limit = node.config.limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
    let rows = format!("(\n{sql}\n) as dbt_internal_test{limit}");
    let calc = &node.config.fail_calc;
    let statement = format!("select {calc} as failures from (select * from {rows}) as failed");
    let done = remote.statement(&node.unique_id, statement, 1, true)?;
    let cell = done.rows.first().and_then(|row| row.pointer("/f/0/v")?.as_str());
    let failures = cell.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0).max(0.0) as u64;
    if failures > 0 && (remote.request.store_failures || node.config.store_failures == Some(true)) {
        let table = remote.relation(node);
        let statement = format!("create or replace table {table} as select * from {rows}");
        remote.statement(&node.unique_id, statement, 1, false)?;
        result.failures_table = Some(node.alias.clone());
    }
    result.failures = Some(failures);
    result.status = tests::status(remote.request.warn_error, node, failures);
    if result.status == Status::Pass {
        result.failures_table = None;
    }
    Ok(())
}

/// The first relation that a test reads and that does not exist.
fn not_built(remote: &Remote<'_>, node: &Node) -> Option<String> {
    let manifest = &remote.project.manifest;
    let parents = remote.order().parents(&node.unique_id).iter();
    parents.filter_map(|id| manifest.nodes.get(id)).find_map(|parent| {
        let is_relation = parent.config.materialized != clicktrail_project::Materialized::Ephemeral;
        (is_relation && remote.kind(parent).is_none()).then(|| parent.name.clone())
    })
}

/// Runs a unit test: its model over the given rows, all by one query.
pub(super) fn unit_test(remote: &Remote<'_>, test: &UnitTest, result: &mut NodeResult) {
    unit_tests::settle(result, test, evaluate(remote, test));
}

fn evaluate(remote: &Remote<'_>, test: &UnitTest) -> Result<Vec<String>> {
    let manifest = &remote.project.manifest;
    let Some(node) = manifest.nodes.get(&test.model_id) else { return Ok(Vec::new()) };
    let mut given: BTreeMap<&str, &Rows> = BTreeMap::new();
    for input in &test.given {
        match &input.input {
            InputName::Ref(id) | InputName::Source(id) => given.insert(id, &input.rows),
            InputName::This => given.insert(&node.unique_id, &input.rows),
        };
    }
    let mut inputs: Vec<&str> =
        remote.order().parents(&node.unique_id).iter().map(String::as_str).collect();
    if given.contains_key(node.unique_id.as_str()) {
        inputs.push(&node.unique_id);
    }
    let (mut names, mut ctes) = (BTreeMap::new(), Vec::new());
    let empty = Rows::Dict(Vec::new());
    for id in inputs {
        let name = format!("__dbt__cte__{}", crate::run::short_name(id).replace('.', "_"));
        let rows = given.get(id).copied().unwrap_or(&empty);
        let sql = match rows {
            Rows::Sql(sql) => sql.clone(),
            rows => fixture(&columns(remote, id)?, &unit_tests::records(rows)?)?,
        };
        ctes.push(format!("{name} as ({sql})"));
        names.insert(id.to_owned(), name);
    }
    let context =
        CompileContext { relations: remote, names: Some(&names), overrides: Some(&test.overrides) };
    let sql = remote.project.compile(node, &context)?.sql;
    let head = if ctes.is_empty() { String::new() } else { format!("with {} ", ctes.join(", ")) };
    let lines = head.lines().count().max(1);
    let rows_of = |sql: String| {
        let (schema, batch, done) = remote.client.rows(&remote.job(&test.unique_id, sql, true))?;
        remote.spent(&test.unique_id, &done);
        Ok((schema, batch))
    };
    let (schema, batch) = rows_of(format!("{head}select * from (\n{sql}\n) as actual"))
        .map_err(|error| shifted(error, lines))?;
    let of_sql = |rows: &Rows| -> Result<RecordBatch> {
        let Rows::Sql(sql) = rows else { return Ok(RecordBatch::new_empty(schema.clone())) };
        Ok(rows_of(sql.clone())?.1)
    };
    unit_tests::compare(&of_sql, test, &schema, &[batch])
}

/// Columns of something that a model reads, as BigQuery writes them.
fn columns(remote: &Remote<'_>, id: &str) -> Result<Vec<Value>> {
    let manifest = &remote.project.manifest;
    if let Some(source) = manifest.sources.get(id) {
        return source_columns(remote, source);
    }
    let Some(node) = manifest.nodes.get(id) else { return Ok(Vec::new()) };
    let ephemeral = node.config.materialized == clicktrail_project::Materialized::Ephemeral;
    if ephemeral && node.resource_type == ResourceType::Model {
        return Ok(remote.client.dry_run(&remote.compile(node)?.sql)?.fields);
    }
    Ok(known_table(remote.client, &remote.id_of(node))?.fields)
}

fn source_columns(remote: &Remote<'_>, source: &Source) -> Result<Vec<Value>> {
    if !source.identifier.ends_with('*') {
        let database = source.database.as_deref();
        let id = table_id(remote.client, database, &source.schema, &source.identifier);
        return Ok(known_table(remote.client, &id)?.fields);
    }
    match drift::shards(remote.client, source)?.pop() {
        Some(newest) => Ok(known_table(remote.client, &newest.id)?.fields),
        None => Err(drift::no_tables(source, remote.client)),
    }
}

/// Rows as a query without a table: every column of the relation, in its type.
pub(super) fn fixture(fields: &[Value], records: &[Map<String, Value>]) -> Result<String> {
    let name = |field: &Value| field["name"].as_str().unwrap_or_default().to_owned();
    for column in records.iter().flat_map(Map::keys) {
        if !fields.iter().any(|field| name(field).eq_ignore_ascii_case(column)) {
            let known: Vec<String> = fields.iter().map(name).collect();
            return Err(PipelineError::Setting {
                message: format!("a row has the column `{column}`, which the relation does not"),
                hint: crate::problem::nearest(column, &known)
                    .map(|name| format!("did you mean `{name}`?")),
            });
        }
    }
    let row = |record: &Map<String, Value>| -> Result<String> {
        let cells = fields
            .iter()
            .map(|field| {
                let value = record.get(&name(field)).unwrap_or(&Value::Null);
                Ok(format!("{} as {}", literal(field, value)?, quoted(&name(field))))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(format!("select {}", cells.join(", ")))
    };
    if records.is_empty() {
        return Ok(format!("{} limit 0", row(&Map::new())?));
    }
    Ok(records.iter().map(row).collect::<Result<Vec<_>>>()?.join(" union all "))
}

/// A value of a column's type.
fn literal(field: &Value, value: &Value) -> Result<String> {
    let kind = sql_type(field);
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(true) => "true".to_owned(),
        Value::Bool(false) => "false".to_owned(),
        Value::Number(number) if kind != "string" => number.to_string(),
        Value::Number(number) => format!("'{number}'"),
        Value::String(text) => {
            let text = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
            format!("'{text}'")
        }
        Value::Array(_) | Value::Object(_) => {
            return Err(PipelineError::Setting {
                message: format!(
                    "column `{}` is given as a list or a struct",
                    field["name"].as_str().unwrap_or_default()
                ),
                hint: Some("on BigQuery give these rows as `format: sql`".into()),
            });
        }
    };
    Ok(format!("cast({text} as {kind})"))
}

#[cfg(test)]
mod unit {
    use super::*;
    use serde_json::json;

    #[test]
    fn given_rows_become_typed_queries() {
        let fields = json!([{"name": "a", "type": "STRING"}, {"name": "n", "type": "INTEGER"}]);
        let fields = fields.as_array().unwrap();
        let rows: Vec<Map<String, Value>> =
            serde_json::from_value(json!([{"a": "it's \\ one"}, {"n": 2}])).unwrap();
        assert_eq!(
            fixture(fields, &rows).unwrap(),
            "select cast('it\\'s \\\\ one' as string) as `a`, cast(null as int64) as `n` union all \
             select cast(null as string) as `a`, cast(2 as int64) as `n`"
        );
        assert!(fixture(fields, &[]).unwrap().ends_with(" limit 0"));
        let wrong = serde_json::from_value(json!({"b": 1})).unwrap();
        assert!(fixture(fields, &[wrong]).is_err());
    }
}

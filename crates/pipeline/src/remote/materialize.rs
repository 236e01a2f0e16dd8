//! A model's SQL → the statements that make its view or table; seeds as load jobs.

use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Load, fields_of, json_rows, sql_type};
use clicktrail_project::{
    CompileContext, IncrementalStrategy, Materialized, Node, OnSchemaChange, Relations,
};
use serde_json::Value;

use super::{Remote, known_table};
use crate::error::{PipelineError, Result};
use crate::run::seeds;

/// Loads a seed; gives its rows.
pub(super) fn seed(remote: &Remote<'_>, node: &Node) -> Result<Option<u64>> {
    let (schema, batches) = seeds::read(remote.project, node)?;
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if remote.kind(node).is_some_and(|kind| kind != "TABLE") {
        remote.client.delete_table(&remote.id_of(node))?;
    }
    let load = Load {
        id: format!("seed_{}", node.alias),
        table: remote.id_of(node),
        fields: fields_of(&schema)?,
        replace: true,
    };
    remote.client.load(&load, &json_rows(&batches)?)?;
    remote.set_kind(node, Some("TABLE"));
    Ok(Some(rows))
}

/// Makes a model; gives the rows of its table.
pub(super) fn model(remote: &Remote<'_>, node: &Node) -> Result<Option<u64>> {
    let sql = remote.compile(node)?.sql;
    hooks(remote, node, &node.config.pre_hook)?;
    let rows = match node.config.materialized {
        Materialized::Ephemeral => {
            // Only its readers run it; a fault in it is told here, where it stands.
            match remote.client.dry_run(&sql) {
                Ok(_) => {}
                Err(error @ EngineError::Sql { .. }) => return Err(error.into()),
                Err(_) => {}
            }
            return Ok(None);
        }
        Materialized::View => {
            drop_other(remote, node, "VIEW")?;
            let relation = remote.relation(node);
            let statement = format!("create or replace view {relation} as\n{sql}\n");
            remote.statement(&node.unique_id, statement, 1, false)?;
            remote.set_kind(node, Some("VIEW"));
            None
        }
        Materialized::Incremental if remote.is_incremental(node) => add(remote, node, &sql)?,
        _ => {
            replace(remote, node, &sql)?;
            known_table(remote.client, &remote.id_of(node))?.rows
        }
    };
    hooks(remote, node, &node.config.post_hook)?;
    Ok(rows)
}

fn hooks(remote: &Remote<'_>, node: &Node, hooks: &[String]) -> Result<()> {
    for hook in hooks {
        let compiled =
            remote.project.compile_text(hook, Some(node), &CompileContext::new(remote))?;
        if !compiled.sql.trim().is_empty() {
            remote.statement(&node.unique_id, compiled.sql, 0, false)?;
        }
    }
    Ok(())
}

/// A view can't be replaced by a table, nor the other way round.
fn drop_other(remote: &Remote<'_>, node: &Node, kind: &str) -> Result<()> {
    if remote.kind(node).is_some_and(|found| found != kind) {
        remote.client.delete_table(&remote.id_of(node))?;
        remote.set_kind(node, None);
    }
    Ok(())
}

/// Makes the result the whole table, by one statement.
fn replace(remote: &Remote<'_>, node: &Node, sql: &str) -> Result<()> {
    drop_other(remote, node, "TABLE")?;
    let head = format!("create or replace table {}{} as (\n", remote.relation(node), layout(node)?);
    let statement = format!("{head}{sql}\n)");
    let made = remote.statement(&node.unique_id, statement.clone(), 1, false);
    match made {
        // The layout changed, which BigQuery refuses to do in place.
        Err(error)
            if error.to_string().contains("different partitioning spec")
                || error.to_string().contains("different clustering spec") =>
        {
            remote.client.delete_table(&remote.id_of(node))?;
            remote.statement(&node.unique_id, statement, 1, false)?;
        }
        other => {
            other?;
        }
    }
    remote.set_kind(node, Some("TABLE"));
    Ok(())
}

/// `partition by … cluster by …`, on the statement's first line.
fn layout(node: &Node) -> Result<String> {
    let mut text = String::new();
    if let Some(partition) = &node.config.partition_by {
        let field = quoted(&partition.field);
        let granularity = partition.granularity.as_deref().unwrap_or("day").to_lowercase();
        let expression = match partition.data_type.as_deref().unwrap_or("date") {
            "date" if granularity == "day" => field,
            "date" => format!("date_trunc({field}, {granularity})"),
            "timestamp" => format!("timestamp_trunc({field}, {granularity})"),
            "datetime" => format!("datetime_trunc({field}, {granularity})"),
            other => {
                return Err(PipelineError::Setting {
                    message: format!("`{}` is partitioned by the type `{other}`", node.name),
                    hint: Some("use `date`, `timestamp` or `datetime`".into()),
                });
            }
        };
        text.push_str(&format!(" partition by {expression}"));
    }
    if !node.config.cluster_by.is_empty() {
        let columns: Vec<String> = node.config.cluster_by.iter().map(|name| quoted(name)).collect();
        text.push_str(&format!(" cluster by {}", columns.join(", ")));
    }
    Ok(text)
}

/// Adds the result to the table by the model's strategy; gives the rows of the table.
fn add(remote: &Remote<'_>, node: &Node, sql: &str) -> Result<Option<u64>> {
    let found = remote.client.dry_run(sql)?.fields;
    let before = known_table(remote.client, &remote.id_of(node))?.fields;
    let columns = columns(remote, node, &before, &found)?;
    let keys = &node.config.unique_key;
    let strategy = node.config.incremental_strategy.unwrap_or(match keys.is_empty() {
        true => IncrementalStrategy::Append,
        false => IncrementalStrategy::Merge,
    });
    let needs_key =
        matches!(strategy, IncrementalStrategy::Merge | IncrementalStrategy::DeleteInsert);
    if needs_key && keys.is_empty() {
        return Err(PipelineError::Setting {
            message: format!("`{}` is merged without `unique_key`", node.name),
            hint: Some(
                "add `unique_key` to its config, or use `incremental_strategy='append'`".into(),
            ),
        });
    }
    let relation = remote.relation(node);
    let list = columns.join(", ");
    match strategy {
        IncrementalStrategy::Append => {
            let statement =
                format!("insert into {relation} ({list}) select {list} from (\n{sql}\n)");
            remote.statement(&node.unique_id, statement, 1, false)?;
        }
        IncrementalStrategy::Merge => {
            let on: Vec<String> = keys
                .iter()
                .map(|key| quoted(key))
                .map(|key| format!("before.{key} = added.{key}"))
                .collect();
            let set: Vec<String> =
                columns.iter().map(|column| format!("{column} = added.{column}")).collect();
            let statement = format!(
                "merge into {relation} as before using (\n{sql}\n) as added on {}\n\
                 when matched then update set {}\n\
                 when not matched then insert ({list}) values ({list})",
                on.join(" and "),
                set.join(", ")
            );
            remote.statement(&node.unique_id, statement, 1, false)?;
        }
        IncrementalStrategy::DeleteInsert => {
            let keys: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
            let same: Vec<String> =
                keys.iter().map(|key| format!("added.{key} = before.{key}")).collect();
            let gone = |added: &str| {
                format!("exists (select 1 from {added} as added where {})", same.join(" and "))
            };
            exchange(remote, node, sql, &list, &gone)?;
        }
        IncrementalStrategy::InsertOverwrite => {
            let Some(partition) = &node.config.partition_by else {
                return Err(PipelineError::Setting {
                    message: format!(
                        "`{}` uses insert_overwrite without `partition_by`",
                        node.name
                    ),
                    hint: Some("add `partition_by`, or use merge with a `unique_key`".into()),
                });
            };
            let field = layout(node)?;
            let expression = field.trim_start_matches(" partition by ");
            let expression = expression.split(" cluster by ").next().unwrap_or(&partition.field);
            let gone = |added: &str| {
                format!("{expression} in (select distinct {expression} from {added})")
            };
            exchange(remote, node, sql, &list, &gone)?;
        }
    }
    Ok(known_table(remote.client, &remote.id_of(node))?.rows)
}

/// Deletes rows and inserts others, as one transaction over a table of the new rows.
fn exchange(
    remote: &Remote<'_>,
    node: &Node,
    sql: &str,
    list: &str,
    gone: &dyn Fn(&str) -> String,
) -> Result<()> {
    let mut staged = node.clone();
    staged.alias = format!("{}__added", node.alias);
    let (relation, added) = (remote.relation(node), remote.relation(&staged));
    let head = format!("create or replace table {added} as (\n");
    remote.statement(&node.unique_id, format!("{head}{sql}\n)"), 1, false)?;
    let statement = format!(
        "begin transaction;\ndelete from {relation} as before where {};\n\
         insert into {relation} ({list}) select {list} from {added};\ncommit transaction;",
        gone(&added)
    );
    let done = remote.statement(&node.unique_id, statement, usize::MAX, false);
    remote.client.delete_table(&remote.id_of(&staged))?;
    done.map(|_| ())
}

/// The columns to write, after the table was given those that the model's config lets it have.
fn columns(
    remote: &Remote<'_>,
    node: &Node,
    before: &[Value],
    found: &[Value],
) -> Result<Vec<String>> {
    let name = |field: &Value| field["name"].as_str().unwrap_or_default().to_lowercase();
    let lacks =
        |fields: &[Value], field: &Value| !fields.iter().any(|one| name(one) == name(field));
    let new: Vec<&Value> = found.iter().filter(|field| lacks(before, field)).collect();
    let old: Vec<&Value> = before.iter().filter(|field| lacks(found, field)).collect();
    let relation = remote.relation(node);
    if !new.is_empty() || !old.is_empty() {
        match node.config.on_schema_change {
            OnSchemaChange::Ignore => {}
            OnSchemaChange::Fail => {
                return Err(PipelineError::Setting {
                    message: format!("the columns of `{}` changed", node.name),
                    hint: Some(
                        "run it with `--full-refresh`, or set `on_schema_change: append_new_columns`"
                            .into(),
                    ),
                });
            }
            OnSchemaChange::AppendNewColumns | OnSchemaChange::SyncAllColumns => {
                let mut parts: Vec<String> = new
                    .iter()
                    .map(|field| {
                        format!(
                            "add column if not exists {} {}",
                            quoted(&name(field)),
                            sql_type(field)
                        )
                    })
                    .collect();
                if node.config.on_schema_change == OnSchemaChange::SyncAllColumns {
                    parts
                        .extend(old.iter().map(|field| {
                            format!("drop column if exists {}", quoted(&name(field)))
                        }));
                }
                for part in parts {
                    let statement = format!("alter table {relation} {part}");
                    remote.statement(&node.unique_id, statement, usize::MAX, false)?;
                }
            }
        }
    }
    let grows = node.config.on_schema_change != OnSchemaChange::Ignore;
    Ok(found
        .iter()
        .filter(|field| grows || !lacks(before, field))
        .map(|field| quoted(&name(field)))
        .collect())
}

/// A name as GoogleSQL quotes it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

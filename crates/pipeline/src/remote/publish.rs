//! Tables of the embedded engine → BigQuery, all replaced by one transaction.
//!
//! The rows are loaded into tables beside their places first. Then one transaction exchanges the rows of all: readers see
//! all of the old ones or all of the new ones. A table that is new, or whose columns changed, is made just before that.

use clicktrail_engine::bigquery::{Client, Load, Query, TableId, fields_of, json_rows};
use serde_json::Value;

use super::materialize::quoted;
use super::{ensure_dataset, table_id, target};
use crate::error::Result;
use crate::publish::Published;
use crate::report::Reporter;
use crate::workspace::Workspace;

/// Replaces tables in a workspace's BigQuery by the given ones, all at once; gives the number of rows.
///
/// # Errors
/// Missing rights, types that BigQuery lacks. Nothing is replaced then.
pub(crate) fn publish(
    workspace: &Workspace,
    tables: &[Published],
    reporter: &dyn Reporter,
) -> Result<u64> {
    let client = target::client(workspace)?;
    let (project, dataset) =
        (client.settings().project.clone(), workspace.project.target.schema.clone());
    ensure_dataset(&client, &project, &dataset)?;
    let mut rows = 0;
    let loaded = tables.iter().try_for_each(|table| {
        let count: u64 = table.batches.iter().map(|batch| batch.num_rows() as u64).sum();
        reporter.note(&format!("  {}  {count} rows", table.name));
        rows += count;
        load(&client, &dataset, table)
    });
    let replaced = loaded.and_then(|()| replace(&client, &dataset, tables));
    for table in tables {
        client.delete_table(&staged(&client, &dataset, &table.name))?;
    }
    replaced.map(|()| rows)
}

fn staged(client: &Client, dataset: &str, name: &str) -> TableId {
    table_id(client, None, dataset, &format!("{name}__publish"))
}

fn load(client: &Client, dataset: &str, table: &Published) -> Result<()> {
    let load = Load {
        id: format!("publish_{}", table.name),
        table: staged(client, dataset, &table.name),
        fields: fields_of(&table.schema)?,
        replace: true,
    };
    client.load(&load, &json_rows(&table.batches)?)?;
    Ok(())
}

/// Makes tables that are new or have other columns; exchanges the rows of the rest.
fn replace(client: &Client, dataset: &str, tables: &[Published]) -> Result<()> {
    let name = |id: &TableId| format!("`{}`.`{}`.`{}`", id.project, id.dataset, id.table);
    let run = |id: String, sql: String| client.query(&Query { sql, id, ..Query::default() });
    let mut exchanged = Vec::new();
    for table in tables {
        let (to, from) =
            (table_id(client, None, dataset, &table.name), staged(client, dataset, &table.name));
        let wanted = fields_of(&table.schema)?;
        match client.table(&to)? {
            Some(found) if found.kind == "TABLE" && same(&found.fields, &wanted) => {
                let columns: Vec<String> = wanted
                    .iter()
                    .map(|field| quoted(field["name"].as_str().unwrap_or_default()))
                    .collect();
                let list = columns.join(", ");
                exchanged.push(format!(
                    "delete from {} where true;\ninsert into {} ({list}) select {list} from {};",
                    name(&to),
                    name(&to),
                    name(&from)
                ));
            }
            found => {
                if found.is_some_and(|found| found.kind != "TABLE") {
                    client.delete_table(&to)?;
                }
                let sql = format!(
                    "create or replace table {} as select * from {}",
                    name(&to),
                    name(&from)
                );
                run(format!("make_{}", table.name), sql)?;
            }
        }
    }
    if !exchanged.is_empty() {
        let sql = format!("begin transaction;\n{}\ncommit transaction;", exchanged.join("\n"));
        run("exchange".into(), sql)?;
    }
    Ok(())
}

fn same(left: &[Value], right: &[Value]) -> bool {
    let shape = |fields: &[Value]| -> Vec<(String, String)> {
        fields
            .iter()
            .map(|field| {
                let name = field["name"].as_str().unwrap_or_default().to_lowercase();
                (name, clicktrail_engine::bigquery::sql_type(field))
            })
            .collect()
    };
    shape(left) == shape(right)
}

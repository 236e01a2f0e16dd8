//! Tables of an export in BigQuery → Parquet files of this machine, table by table.
//!
//! Rows come page by page through `tabledata.list`, which costs nothing. A file appears under its name when it is
//! whole; one that holds the table's present version is not fetched again, so an import that was stopped goes on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Client, ParquetRows, Table, TableId, arrow_schema};

use super::drift::day_of;
use super::{known_table, table_id, target};
use crate::error::{PipelineError, Result};
use crate::report::Reporter;
use crate::workspace::Workspace;

/// Which tables, and where to.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// `project.dataset.events_*`, `dataset.events_*` or one table.
    pub table: String,
    /// First day, `YYYYMMDD`; empty means all.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Folder of the files, relative to the project.
    pub out: PathBuf,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Tables fetched now.
    pub fetched: usize,
    /// Tables whose file was there already.
    pub kept: usize,
    /// Rows fetched now.
    pub rows: u64,
}

impl Workspace {
    /// Fetches tables of the target's BigQuery as Parquet files.
    ///
    /// # Errors
    /// A target of another kind, tables that can't be read, a disk that is full.
    pub fn import(&self, request: &ImportRequest, reporter: &dyn Reporter) -> Result<Imported> {
        target::required(self, "name one by `--target`, e.g. `--target bigquery`")?;
        let client = target::client(self)?;
        let tables = tables(&client, request)?;
        let dir = self.project.dir.join(&request.out);
        fs::create_dir_all(&dir).map_err(PipelineError::io("create", &dir))?;
        let mut done = Imported::default();
        for (number, id) in tables.iter().enumerate() {
            let table = known_table(&client, id)?;
            let path = dir.join(format!("{}.parquet", id.table));
            if ParquetRows::version_of(&path).as_deref() == Some(&table.version) {
                done.kept += 1;
                continue;
            }
            reporter.note(&format!(
                "  {}/{}  {}  {} rows",
                number + 1,
                tables.len(),
                id.table,
                table.rows.unwrap_or(0)
            ));
            done.rows += fetch(&client, &table, &path, reporter)?;
            done.fetched += 1;
        }
        Ok(done)
    }
}

/// The tables that a request names, oldest first.
fn tables(client: &Client, request: &ImportRequest) -> Result<Vec<TableId>> {
    let name = request.table.replace('`', "");
    let parts: Vec<&str> = name.split('.').collect();
    let (project, dataset, table) = match parts[..] {
        [project, dataset, table] => (project, dataset, table),
        [dataset, table] => (client.settings().project.as_str(), dataset, table),
        _ => {
            return Err(PipelineError::Setting {
                message: format!("`{}` is no table", request.table),
                hint: Some("write `project.analytics_123456789.events_*`".into()),
            });
        }
    };
    let id = |table: &str| table_id(client, Some(project), dataset, table);
    let Some(prefix) = table.strip_suffix('*') else { return Ok(vec![id(table)]) };
    let wanted = |found: &Table| {
        day_of(&found.id.table, prefix).is_some_and(|day| {
            (request.from.is_empty() || day >= request.from.as_str())
                && (request.to.is_empty() || day <= request.to.as_str())
        })
    };
    let found: Vec<TableId> = client
        .tables(project, dataset, prefix)?
        .into_iter()
        .filter(wanted)
        .map(|table| table.id)
        .collect();
    if found.is_empty() {
        return Err(PipelineError::Setting {
            message: format!("no table `{project}.{dataset}.{table}` of these days"),
            hint: Some("check the dataset, `--from` and `--to`".into()),
        });
    }
    Ok(found)
}

/// Writes one table beside its place, then moves it there.
fn fetch(client: &Client, table: &Table, path: &Path, reporter: &dyn Reporter) -> Result<u64> {
    let part = path.with_extension("part");
    let file = File::create(&part).map_err(PipelineError::io("create", &part))?;
    let schema = arrow_schema(&table.fields);
    let mut writer = ParquetRows::new(file, Arc::clone(&schema), &table.version)?;
    let total = usize::try_from(table.rows.unwrap_or(0)).unwrap_or(0);
    let mut rows = 0u64;
    let written = client.table_rows(table, &mut |batch| {
        rows += batch.num_rows() as u64;
        reporter.progress(&table.id.table, usize::try_from(rows).unwrap_or(0), total);
        writer.write(&batch)
    });
    let closed = written.and_then(|()| {
        if table.rows.is_some_and(|total| total != rows) {
            let what = format!("{} changed while it was read", table.id);
            return Err(EngineError::Feed(what));
        }
        writer.finish()
    });
    if let Err(error) = closed {
        let _ = fs::remove_file(&part);
        return Err(error.into());
    }
    fs::rename(&part, path).map_err(PipelineError::io("rename", path))?;
    Ok(rows)
}

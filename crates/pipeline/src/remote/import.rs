//! Tables of an export in BigQuery → Parquet files of this machine, table by table.
//!
//! Rows come through the Storage Read API, or page by page through `tabledata.list`, which is slower and costs nothing;
//! the files are the same. A file appears under its name when it is whole; one that holds the table's present version
//! is not fetched again, so an import that was stopped goes on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{
    Client, FaultKind, Offered, ParquetRows, ReadSession, Storage, Table, TableId, arrow_schema,
};

use super::drift::day_of;
use super::{known_table, table_id, target};
use crate::error::{PipelineError, Result};
use crate::report::Reporter;
use crate::workspace::Workspace;

/// Attempts to open a table that changes meanwhile.
const ATTEMPTS: usize = 3;

/// How rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportApi {
    /// The Storage Read API.
    Storage,
    /// `tabledata.list`.
    Rest,
}

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
    /// How; `None` means the Storage Read API, and REST where that is refused.
    pub api: Option<ImportApi>,
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
        let client = Arc::new(target::client(self)?);
        let tables = tables(&client, request)?;
        let mut source = Source::new(&client, request.api, reporter)?;
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
            let (table, session) = source.open(table)?;
            let streams = session.as_ref().map_or(0, ReadSession::streams);
            reporter.note(&format!(
                "  {}/{}  {}  {} rows{}",
                number + 1,
                tables.len(),
                id.table,
                table.rows.unwrap_or(0),
                if streams > 1 { format!(" in {streams} streams") } else { String::new() }
            ));
            done.rows += source.fetch(&table, session.as_ref(), &path)?;
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

/// Where rows come from.
struct Source<'a> {
    client: &'a Client,
    /// None where rows are read over REST.
    storage: Option<Storage>,
    /// Whether REST is no way out.
    must: bool,
    reporter: &'a dyn Reporter,
}

impl<'a> Source<'a> {
    fn new(
        client: &'a Arc<Client>,
        api: Option<ImportApi>,
        reporter: &'a dyn Reporter,
    ) -> Result<Self> {
        let must = api == Some(ImportApi::Storage);
        let mut source = Self { client, storage: None, must, reporter };
        if api != Some(ImportApi::Rest) {
            source.storage = source.given(Storage::new(Arc::clone(client))?)?;
        }
        Ok(source)
    }

    /// What was offered; says why it is not, unless that is an error.
    fn given<T>(&mut self, offered: Offered<T>) -> Result<Option<T>> {
        match offered {
            Offered::Given(found) => Ok(Some(found)),
            Offered::Refused(fault) if self.must => {
                Err(EngineError::from(fault.hinted("read over REST: `--api rest`")).into())
            }
            Offered::Refused(fault) => {
                self.reporter.note(&format!("  read over REST, not the Storage Read API: {fault}"));
                // A setting is about one table; rights are about all.
                if fault.kind != FaultKind::Setting {
                    self.storage = None;
                }
                Ok(None)
            }
        }
    }

    /// Opens a table, so that what is read is the version that is told with it.
    fn open(&mut self, mut table: Table) -> Result<(Table, Option<ReadSession>)> {
        for _ in 0..ATTEMPTS {
            let Some(storage) = &self.storage else { return Ok((table, None)) };
            let offered = storage.read_session(&table)?;
            let Some(session) = self.given(offered)? else { return Ok((table, None)) };
            let now = known_table(self.client, &table.id)?;
            if now.version == table.version {
                return Ok((table, Some(session)));
            }
            table = now;
        }
        Err(EngineError::Feed(format!("{} changes while it is read", table.id)).into())
    }

    /// Writes one table beside its place, then moves it there.
    fn fetch(&self, table: &Table, session: Option<&ReadSession>, path: &Path) -> Result<u64> {
        let part = path.with_extension("part");
        let file = File::create(&part).map_err(PipelineError::io("create", &part))?;
        let schema = arrow_schema(&table.fields);
        let mut writer = ParquetRows::new(file, Arc::clone(&schema), &table.version)?;
        let total = usize::try_from(table.rows.unwrap_or(0)).unwrap_or(0);
        let mut rows = 0u64;
        let mut page = |batch: RecordBatch| {
            rows += batch.num_rows() as u64;
            let done = usize::try_from(rows).unwrap_or(0);
            self.reporter.progress(&table.id.table, done, total);
            writer.write(&batch)
        };
        let written = match (session, &self.storage) {
            (Some(session), Some(storage)) => storage.read(session, &mut page),
            _ => self.client.table_rows(table, &mut page),
        };
        let closed = written.and_then(|()| {
            // A session is of one moment, and has the rows that were streamed just now, which are not counted yet.
            let is_whole = |total| if session.is_some() { total <= rows } else { total == rows };
            if !table.rows.is_none_or(is_whole) {
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
}

//! `publish`: tables of the embedded engine for others: BigQuery, PostgreSQL, Parquet, CSV.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clicktrail_pipeline::{Published, Workspace};
use clicktrail_project::{Materialized, ResourceType, SelectArgs};

use super::run::with_reporter;
use crate::args::{ProjectArgs, SelectFlags};
use crate::failure::{Outcome, Usage};
use crate::output::{RowFormat, count, write_rows};
use crate::session::Session;
use crate::settings;

/// What is published when the user does not say: the marts of the demo project's layout.
const SELECT_DEFAULT: &str = "tag:marts";

/// File that makes a folder one of ours, which may be replaced.
const MARK: &str = ".clicktrail-published";

/// Flags of `publish`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which tables; by default those with the tag `marts`.
    #[command(flatten)]
    select: SelectFlags,
    /// Target in BigQuery or PostgreSQL whose tables are replaced, all by one transaction
    #[arg(long, value_name = "TARGET", required_unless_present = "out")]
    to: Option<String>,
    /// Folder of files instead; it is replaced as a whole
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    out: Option<PathBuf>,
    /// Format of the files: parquet, csv, json, ndjson
    #[arg(long, value_name = "FORMAT", default_value = "parquet")]
    format: RowFormat,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Publishes.
///
/// # Errors
/// Tables that are not built, a target that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    let mut select = settings::selection(&args.select);
    if select.select.is_empty() && select.selector.is_none() {
        select.select.push(SELECT_DEFAULT.into());
    }
    let names = names(&workspace, &select)?;
    let tables =
        names.into_iter().map(|name| read(&workspace, name)).collect::<Result<Vec<_>>>()?;
    let told = count(tables.len() as u64, "table", "tables");
    if let Some(out) = &args.out {
        write_files(&tables, out, args.format)?;
        session.note(&format!("{told} published in {}", out.display()));
        return Ok(Outcome::Done);
    }
    let there = ProjectArgs { target: args.to.clone(), ..args.project.clone() };
    let there = settings::open_for_publish(&there, session)?;
    let rows = with_reporter(session, |reporter| there.publish(&tables, reporter))?;
    session.note(&format!("{told} published, {}", count(rows, "row", "rows")));
    Ok(Outcome::Done)
}

/// Names of the selected tables that keep rows.
fn names(workspace: &Workspace, select: &SelectArgs) -> Result<Vec<String>> {
    let project = workspace.project();
    let selected = project.select(select).map_err(clicktrail_pipeline::PipelineError::from)?;
    let names: Vec<String> = selected
        .iter()
        .filter_map(|id| project.manifest.nodes.get(id))
        .filter(|node| match node.resource_type {
            ResourceType::Seed => true,
            ResourceType::Model => {
                matches!(node.config.materialized, Materialized::Table | Materialized::Incremental)
            }
            _ => false,
        })
        .map(|node| node.alias.clone())
        .collect();
    if names.is_empty() {
        let hint = "select models that are tables: `-s mart_last_click`";
        return Err(Usage::new("the selection has no table").hint(hint).into());
    }
    Ok(names)
}

fn read(workspace: &Workspace, name: String) -> Result<Published> {
    let sql = format!("select * from \"{}\"", name.replace('"', "\"\""));
    let rows = workspace.query(&sql)?;
    Ok(Published { name, schema: rows.schema, batches: rows.batches })
}

/// Writes a folder beside its place, then moves it there; the one before stays until then.
fn write_files(tables: &[Published], out: &Path, format: RowFormat) -> Result<()> {
    let beside = |ending: &str| {
        let name = out.file_name().map(|name| name.to_string_lossy().into_owned());
        out.with_file_name(format!(".{}{ending}", name.unwrap_or_default()))
    };
    let (part, old) = (beside(".publishing"), beside(".published"));
    let strange = out.is_dir()
        && !out.join(MARK).is_file()
        && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if strange {
        let message = format!("{} holds other files", out.display());
        return Err(Usage::new(message).hint("name a new or an empty folder").into());
    }
    let failed = |path: &Path| format!("cannot write {}", path.display());
    for left in [&part, &old] {
        if left.is_dir() {
            fs::remove_dir_all(left).with_context(|| failed(left))?;
        }
    }
    fs::create_dir_all(&part).with_context(|| failed(&part))?;
    File::create(part.join(MARK)).with_context(|| failed(&part))?;
    for table in tables {
        let path = part.join(format!("{}.{}", table.name, format.ending()));
        let file = File::create(&path).with_context(|| failed(&path))?;
        let rows = clicktrail_pipeline::QueryResult {
            schema: table.schema.clone(),
            batches: table.batches.clone(),
        };
        write_rows(&rows, format, None, BufWriter::new(&file)).with_context(|| failed(&path))?;
        file.sync_all().with_context(|| failed(&path))?;
    }
    if out.exists() {
        fs::rename(out, &old).with_context(|| failed(out))?;
    }
    fs::rename(&part, out).with_context(|| failed(out))?;
    if old.is_dir() {
        fs::remove_dir_all(&old).with_context(|| failed(&old))?;
    }
    Ok(())
}

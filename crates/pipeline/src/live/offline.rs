//! What a build does for live while no server runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Date32Type;
use clicktrail_engine::delta::Snapshot;
use clicktrail_eventlog::{Log, RealDisk};

use super::days::{day_of, time_zone};
use super::restated::{self, Cause, Entry, day_column, restated};
use super::rows::arrow_fault;
use super::store::recover_into;
use super::stream_table;
use crate::catalog::live_key;
use crate::error::Result;
use crate::run::Run;
use crate::workspace::Workspace;

/// Moves what a server left in its log into the table `events_stream`: a build reads that table only.
///
/// # Errors
/// A damaged log, a full disk.
pub(crate) fn drain_log(workspace: &Workspace) -> Result<()> {
    drained(workspace).map(|_| ())
}

/// The same, and no frame is left in any file of the log.
///
/// # Errors
/// As [`drain_log`].
pub(crate) fn empty_log(workspace: &Workspace) -> Result<()> {
    if let Some(mut log) = drained(workspace)? {
        log.close_segment()?;
        log.release(log.next_seq() - 1)?;
    }
    Ok(())
}

fn drained(workspace: &Workspace) -> Result<Option<Log>> {
    let dir = workspace.warehouse.log_dir();
    if !dir.is_dir() {
        return Ok(None);
    }
    let (log, _) = Log::open(Arc::new(RealDisk), &dir, &Default::default())?;
    let stored = stream_table::last_seq(&workspace.warehouse)?;
    let frames = log.frames(stored + 1)?;
    let engine = workspace.engine()?;
    recover_into(&workspace.warehouse, &engine, workspace.clock.as_ref(), frames)?;
    log.release(stream_table::last_seq(&workspace.warehouse)?)?;
    Ok(Some(log))
}

/// Notes which figures of past days a build changed in the marts that are sums over days.
///
/// # Errors
/// Tables that can't be read, a full disk.
pub(crate) fn keep_restated(workspace: &Workspace, run: &Run<'_>) -> Result<()> {
    let now = workspace.clock.now_micros();
    let today = day_of(now, time_zone(workspace)?);
    let mut all = Vec::new();
    for node in workspace.project.manifest.nodes.values() {
        let is_mart = node.config.tags.iter().any(|tag| tag == "marts") && live_key(node).is_none();
        let Some(change) = run.change_of(&node.alias).filter(|_| is_mart) else { continue };
        let Some(before) = change.before else { continue };
        let (before, after) = (rows(run, &before)?, rows(run, &change.after)?);
        // A day that was not there before is new, not changed.
        let known = days(&before);
        let after = of_days(&after, &known)?;
        all.extend(restated(&node.alias, before, after, today, Cause::ReplacedDay)?);
    }
    if all.is_empty() {
        return Ok(());
    }
    // What changed while a server followed the stream was told when it changed.
    let told = restated::last_told(&workspace.warehouse, run.engine)?;
    let seq = stream_table::last_seq(&workspace.warehouse)?;
    let entries: Vec<Entry> = all
        .into_iter()
        .filter(|change| told.get(&change.figure()) != Some(&change.to))
        .map(|change| Entry { seq, at_micros: now, change })
        .collect();
    restated::write(&workspace.warehouse, &entries)
}

fn rows(run: &Run<'_>, table: &Snapshot) -> Result<RecordBatch> {
    let session = run.engine.session()?;
    session.add_table("rows", table)?;
    let (schema, batches) = session.query("select * from rows")?;
    Ok(concat_batches(&schema, &batches).map_err(arrow_fault)?)
}

fn days(rows: &RecordBatch) -> BTreeSet<i32> {
    let column = day_column(rows).map(|column| rows.column(column).as_primitive::<Date32Type>());
    column.into_iter().flatten().flatten().collect()
}

fn of_days(rows: &RecordBatch, wanted: &BTreeSet<i32>) -> Result<RecordBatch> {
    let Some(column) = day_column(rows) else { return Ok(rows.clone()) };
    let days = rows.column(column).as_primitive::<Date32Type>();
    let keep = (0..days.len())
        .map(|row| Some(days.is_valid(row) && wanted.contains(&days.value(row))))
        .collect();
    Ok(filter_record_batch(rows, &keep).map_err(arrow_fault)?)
}

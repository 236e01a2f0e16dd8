//! Tables of the warehouse without some of their rows.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::{filter_record_batch, not};
use clicktrail_engine::datafusion::Embedded;
use clicktrail_engine::delta::{Commit, DataFile, Removal, Snapshot, TableWriter, WriterSettings};
use serde_json::Value;

use super::texts::rows_with;
use crate::catalog::quoted;
use crate::error::Result;
use crate::live::arrow_fault;
use crate::warehouse::Warehouse;

/// Says of a text whether it is, or holds, the id.
pub(super) type Test<'a> = &'a dyn Fn(&str) -> bool;

/// How many rows of a table have a text that passes.
pub(super) fn count(engine: &Embedded, table: &Snapshot, test: Test<'_>) -> Result<u64> {
    let mut found = 0;
    each(engine, table, &mut |batch| {
        found += rows_with(&batch, test)?.true_count() as u64;
        Ok(())
    })?;
    Ok(found)
}

/// Writes the files that hold such rows anew without them, as one commit; gives the newest version.
pub(super) fn remove(
    warehouse: &Warehouse,
    engine: &Embedded,
    base: Snapshot,
    test: Test<'_>,
    at_micros: i64,
) -> Result<Snapshot> {
    let table = warehouse.table(&base.name);
    let sequence = Arc::default();
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    let mut note = base.note.clone();
    for file in &base.files {
        let one = Snapshot { files: vec![file.clone()], ..base.clone() };
        if count(engine, &one, test)? == 0 {
            continue;
        }
        let settings = WriterSettings {
            partition_columns: base.partition_columns.clone(),
            ..WriterSettings::default()
        };
        let schema = Arc::clone(&base.schema);
        let mut writer =
            TableWriter::new(&table, Some(&base), schema, settings, Arc::clone(&sequence))?;
        let mut fault = None;
        each(engine, &one, &mut |batch| {
            let keep: BooleanArray = not(&rows_with(&batch, test)?)?;
            let kept = filter_record_batch(&batch, &keep)?;
            if fault.is_none() {
                fault = writer.write(&kept).err();
            }
            Ok(())
        })?;
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        let files = writer.finish()?;
        rename(&mut note, &file.path, &files);
        removed.push(file.path.clone());
        added.extend(files);
    }
    if removed.is_empty() {
        return Ok(base);
    }
    // The hash of rows that are no longer these.
    if let Some(content) = note.get_mut("content") {
        *content = Value::String(String::new());
    }
    let commit = Commit {
        schema: Arc::clone(&base.schema),
        partition_columns: base.partition_columns.clone(),
        added,
        removed: Removal::Files(removed),
        note,
        at_millis: at_micros / 1000,
    };
    Ok(table.commit(Some(&base), commit)?)
}

/// A note that says something of each file says it of the file that came in its place.
fn rename(note: &mut Value, old: &str, new: &[DataFile]) {
    let Some(days) = note.get_mut("days").and_then(Value::as_object_mut) else { return };
    if let Some(day) = days.remove(old) {
        for file in new {
            days.insert(file.path.clone(), day.clone());
        }
    }
}

/// Visits the rows, with the table's columns in their order.
fn each(
    engine: &Embedded,
    table: &Snapshot,
    visit: &mut dyn FnMut(
        arrow::array::RecordBatch,
    ) -> std::result::Result<(), arrow::error::ArrowError>,
) -> Result<()> {
    let session = engine.session()?;
    session.add_table("visited", table)?;
    let columns: Vec<String> =
        table.schema.fields().iter().map(|field| quoted(field.name())).collect();
    let plan = session.plan(&format!("select {} from visited", columns.join(", ")))?;
    Ok(session.run(&plan, &mut |batch| visit(batch).map_err(arrow_fault))?)
}

//! The table `erasures`: what was erased when, and the proof, without the id.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};

use super::EraseReport;
use crate::error::Result;
use crate::live::arrow_fault;

/// Name of the table.
pub(super) const TABLE: &str = "erasures";

/// One row for each table of the warehouse.
pub(super) fn rows(report: &EraseReport) -> Result<RecordBatch> {
    let tables = &report.tables;
    let same = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(tables.iter().map(|_| text)))
    };
    let names = StringArray::from_iter_values(tables.iter().map(|table| table.name.as_str()));
    let number = |of: &dyn Fn(&super::ErasedTable) -> u64| -> ArrayRef {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Arc::new(Int64Array::from_iter_values(tables.iter().map(|table| whole(of(table)))))
    };
    let clean: BooleanArray = tables.iter().map(|table| Some(table.rows_after == 0)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("erasure_id", same(&report.erasure_id), true),
        ("erased_at", same(&report.erased_at), true),
        ("id_hashes", same(&report.hashes.join(" ")), true),
        ("table_name", Arc::new(names) as ArrayRef, true),
        ("rows_before", number(&|table| table.rows_before), true),
        ("rows_after", number(&|table| table.rows_after), true),
        ("version_before", number(&|table| table.version_before), true),
        ("version_after", number(&|table| table.version_after), true),
        ("files_deleted", number(&|table| table.files_deleted), true),
        ("is_clean", Arc::new(clean), true),
    ])
    .map_err(|error| arrow_fault(error).into())
}

//! The engine through its public door: functions in SQL, tables that change atomically, locality.
#![allow(clippy::unwrap_used, missing_docs)]

mod functions;
mod locality;
mod operators;
mod prepared;
mod tables;

use clicktrail_engine::datafusion::{Embedded, EmbeddedSettings, Session};

/// A session with its folder, which goes when the value does.
pub(crate) fn session() -> (Session, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Embedded::new(EmbeddedSettings {
        threads: 1,
        memory_bytes: 256 << 20,
        spill_dir: dir.path().to_path_buf(),
    })
    .unwrap();
    (engine.single_threaded_session().unwrap(), dir)
}

/// The result of a query as text, one row a line, fields joined by `|`.
pub(crate) fn rows(session: &Session, sql: &str) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let (_, batches) = session.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> =
                columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(cells.join("|"));
        }
    }
    rows
}

//! The one transaction in which all tables get their new rows.
//!
//! Rows are deleted and copied, not truncated: a reader sees the rows of before until the commit and never waits, and so
//! does one whose own transaction began earlier, to which a truncated or a new table would be empty. Tables stay the same
//! tables, so views on them, grants and indexes stay. Columns that changed are dropped and added; that alone
//! locks readers out, and comes last.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use postgres::Transaction;

use super::connect::Settings;
use super::fault::{Fault, FaultKind};
use super::rows;
use crate::delta::{conform, stored_schema};
use crate::error::{EngineError, Result};

/// How long a lock that another transaction holds is waited for: readers queue up behind us meanwhile.
const LOCK_TIMEOUT: &str = "30s";

/// Bytes of rows that are sent at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// PostgreSQL cuts longer names, and two could become one.
const NAME_BYTES_MAX: usize = 63;

/// A table's comment that makes it one of ours, which may be replaced.
const MARK: &str = "replaced by clicktrail publish";

/// A table to replace.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Its name.
    pub name: &'a str,
    /// Columns.
    pub schema: &'a SchemaRef,
    /// Rows.
    pub batches: &'a [RecordBatch],
}

/// What happened to a table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The table is new.
    Made,
    /// Its columns are as before.
    Kept,
    /// Some were dropped, some added.
    Columns {
        /// Names of those that went.
        dropped: Vec<String>,
        /// Names of those that came.
        added: Vec<String>,
    },
}

/// A table with its new rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its name.
    pub name: String,
    /// Number of rows.
    pub rows: u64,
    /// What became of the columns.
    pub change: Change,
    /// Characters U+0000, which PostgreSQL can't hold, that became U+FFFD.
    pub zeros: u64,
}

/// Replaces tables by the given ones, all at once; `placed` hears of each as its rows are there, before they are seen.
///
/// # Errors
/// [`Fault`]; types that PostgreSQL lacks. All tables are as before then.
pub fn replace(
    settings: &Settings,
    tables: &[Incoming<'_>],
    placed: &mut dyn FnMut(&Placed),
) -> Result<u64> {
    let tables = tables.iter().map(Table::new).collect::<Result<Vec<_>>>()?;
    let mut client = settings.connect()?;
    let mut transaction = client.transaction().map_err(Fault::from)?;
    begin(&mut transaction, &settings.schema)?;
    let mut plans = tables
        .iter()
        .map(|table| Ok((table, plan(&mut transaction, &settings.schema, table)?)))
        .collect::<Result<Vec<_>>>()?;
    plans.sort_by_key(|(_, change)| matches!(change, Change::Columns { .. }));
    let mut count = 0;
    for (table, change) in plans {
        let done = table.place(&mut transaction, &settings.schema, change)?;
        count += done.rows;
        placed(&done);
    }
    transaction.commit().map_err(Fault::from)?;
    // All is there; a server that does not say goodbye changes nothing.
    let _ = client.close();
    Ok(count)
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Takes our place among those who publish; makes the schema when it is missing.
fn begin(transaction: &mut Transaction<'_>, schema: &str) -> Result<(), Fault> {
    check_name(schema)?;
    transaction.batch_execute(&format!("set local lock_timeout = '{LOCK_TIMEOUT}'"))?;
    let lock = "select pg_try_advisory_xact_lock(hashtextextended('clicktrail publish ' || $1, 0))";
    if !transaction.query_one(lock, &[&schema])?.get::<_, bool>(0) {
        let text = format!("another publish into the schema `{schema}` is under way");
        return Err(
            Fault::new(FaultKind::Busy, text).hinted("wait for its end, then run this again")
        );
    }
    let found = "select from pg_catalog.pg_namespace where nspname = $1";
    if transaction.query_opt(found, &[&schema])?.is_none() {
        transaction.batch_execute(&format!("create schema {}", quoted(schema)))?;
    }
    Ok(())
}

/// What is to be done with the columns of a table that is there; refuses what is not ours.
fn plan(
    transaction: &mut Transaction<'_>,
    schema: &str,
    table: &Table<'_>,
) -> Result<Change, Fault> {
    let found =
        "select c.oid, c.relkind::text, coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '')
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = $1 and c.relname = $2";
    let Some(row) = transaction.query_opt(found, &[&schema, &table.name])? else {
        return Ok(Change::Made);
    };
    let (oid, kind, comment): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
    let place = format!("{}.{}", quoted(schema), quoted(table.name));
    if !matches!(kind.as_str(), "r" | "p") {
        let text = format!("`{schema}.{}` is there, and is no table", table.name);
        let hint = "drop or rename it, or name another `schema` in the target";
        return Err(Fault::new(FaultKind::InTheWay, text).hinted(hint));
    }
    if !comment.contains(MARK) {
        let text = format!("`{schema}.{}` is a table that was not made by publish", table.name);
        let hint = format!(
            "name another `schema` in the target; or let it be replaced: comment on table {place} is '{MARK}'"
        );
        return Err(Fault::new(FaultKind::InTheWay, text).hinted(hint));
    }
    let columns = "select attname::text, pg_catalog.format_type(atttypid, atttypmod)
        from pg_catalog.pg_attribute where attrelid = $1 and attnum > 0 and not attisdropped order by attnum";
    let there: Vec<(String, String)> =
        transaction.query(columns, &[&oid])?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let names = |from: &[(String, String)], without: &[(String, String)]| -> Vec<String> {
        from.iter().filter(|one| !without.contains(one)).map(|one| one.0.clone()).collect()
    };
    let (dropped, added) = (names(&there, &table.columns), names(&table.columns, &there));
    match dropped.is_empty() && added.is_empty() {
        true => Ok(Change::Kept),
        false => Ok(Change::Columns { dropped, added }),
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.len() <= NAME_BYTES_MAX && !name.is_empty() && !name.contains('\0') {
        return Ok(());
    }
    let text = format!("`{name}` can't be a name: PostgreSQL keeps 1 to {NAME_BYTES_MAX} bytes");
    Err(Fault::new(FaultKind::Setting, text)
        .hinted("give it a shorter name: an `alias` for a model"))
}

/// A table whose names and types PostgreSQL can hold.
struct Table<'a> {
    name: &'a str,
    /// Columns with their types in PostgreSQL.
    columns: Vec<(String, String)>,
    stored: SchemaRef,
    batches: &'a [RecordBatch],
}

impl<'a> Table<'a> {
    fn new(table: &Incoming<'a>) -> Result<Self> {
        check_name(table.name)?;
        let stored = stored_schema(table.schema)?;
        let columns = stored
            .fields()
            .iter()
            .map(|field| {
                check_name(field.name())?;
                let data_type = rows::sql_type(field.data_type()).ok_or_else(|| {
                    let (column, data_type) = (field.name().clone(), field.data_type().to_string());
                    EngineError::Type { column, data_type }
                })?;
                Ok((field.name().clone(), data_type))
            })
            .collect::<Result<_>>()?;
        Ok(Self { name: table.name, columns, stored, batches: table.batches })
    }

    /// Gives the table its columns and rows.
    fn place(
        &self,
        transaction: &mut Transaction<'_>,
        schema: &str,
        change: Change,
    ) -> Result<Placed> {
        let here = format!("{}.{}", quoted(schema), quoted(self.name));
        let of_table = |error: postgres::Error| Fault::from(error).of_table(self.name);
        transaction.batch_execute(&self.statements(&here, &change)).map_err(of_table)?;
        let names: Vec<String> = self.columns.iter().map(|(name, _)| quoted(name)).collect();
        let copy = format!("copy {here} ({}) from stdin (format binary)", names.join(", "));
        let mut writer = transaction.copy_in(&copy).map_err(of_table)?;
        let (mut out, mut zeros) = (rows::HEADER.to_vec(), 0);
        for batch in self.batches {
            let batch = conform(batch, &self.stored)?;
            // Small pieces, so that few bytes are held twice.
            for start in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
                let length = ROWS_AT_ONCE.min(batch.num_rows() - start);
                zeros += rows::append(&batch.slice(start, length), &mut out)?;
                if out.len() >= CHUNK_BYTES {
                    send(&mut writer, &mut out).map_err(|fault| fault.of_table(self.name))?;
                }
            }
        }
        out.extend(rows::TRAILER);
        send(&mut writer, &mut out).map_err(|fault| fault.of_table(self.name))?;
        let rows = writer.finish().map_err(of_table)?;
        Ok(Placed { name: self.name.to_owned(), rows, change, zeros })
    }

    /// What comes before the rows.
    fn statements(&self, here: &str, change: &Change) -> String {
        let definition =
            |(name, data_type): &(String, String)| format!("{} {data_type}", quoted(name));
        match change {
            Change::Kept => format!("delete from {here}"),
            Change::Made => {
                let columns: Vec<String> = self.columns.iter().map(definition).collect();
                let columns = columns.join(", ");
                format!("create table {here} ({columns}); comment on table {here} is '{MARK}'")
            }
            Change::Columns { dropped, added } => {
                let dropped = dropped.iter().map(|name| format!("drop column {}", quoted(name)));
                let added = self.columns.iter().filter(|(name, _)| added.contains(name));
                let added = added.map(|column| format!("add column {}", definition(column)));
                let changes: Vec<String> = dropped.chain(added).collect();
                format!("alter table {here} {}; delete from {here}", changes.join(", "))
            }
        }
    }
}

/// Rows that are encoded before their bytes are counted.
const ROWS_AT_ONCE: usize = 1024;

fn send(writer: &mut impl Write, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    writer.write_all(bytes)?;
    bytes.clear();
    Ok(())
}

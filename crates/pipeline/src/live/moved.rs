//! Rows before and after → the persons who have others now.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::row::{Row, RowConverter, SortField};
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::keyed_rows::KeyedRows;
use super::rows::{arrow_fault, joined};
use crate::error::Result;

/// Of some persons, those whose rows in a table are others than the new `rows`, of which `keys` says whose each is; the order of a person's
/// rows is none of their content. Persons with rows on disk count as such: to read these takes longer than what follows.
pub(super) fn moved(
    table: &KeyedRows,
    persons: &[u32],
    rows: &RecordBatch,
    keys: &[u32],
) -> Result<Vec<u32>> {
    let mut new: HashMap<u32, SmallVec<[u32; 4]>> = HashMap::with_capacity(persons.len());
    for (row, key) in keys.iter().enumerate() {
        new.entry(*key).or_default().push(row as u32);
    }
    let (mut moved, mut alike) = (Vec::new(), Vec::new());
    for person in persons {
        let (before, after) =
            (table.places(*person).len(), new.get(person).map_or(0, SmallVec::len));
        if before != after || table.has_cold(*person) {
            moved.push(*person);
        } else if after > 0 {
            alike.push(*person);
        }
    }
    if alike.is_empty() {
        return Ok(moved);
    }
    let wanted: UInt32Array = alike.iter().flat_map(|person| &new[person]).copied().collect();
    let after = take_record_batch(rows, &wanted).map_err(arrow_fault)?;
    let before = joined(&rows.schema(), &table.gather(&alike).map_err(arrow_fault)?)?;
    let fields = rows.columns().iter().map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(arrow_fault)?;
    let before = converter.convert_columns(before.columns()).map_err(arrow_fault)?;
    let after = converter.convert_columns(after.columns()).map_err(arrow_fault)?;
    let mut start = 0;
    for person in alike {
        let range = start..start + new[&person].len();
        start = range.end;
        let of = |rows| sorted(range.clone().map(|row| arrow::row::Rows::row(rows, row)));
        if of(&before) != of(&after) {
            moved.push(person);
        }
    }
    moved.sort_unstable();
    Ok(moved)
}

fn sorted<'r>(rows: impl Iterator<Item = Row<'r>>) -> SmallVec<[Row<'r>; 4]> {
    let mut rows: SmallVec<[Row<'r>; 4]> = rows.collect();
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    use proptest::prelude::*;

    use super::super::tiers::{LiveMemory, Tiers};
    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("value", DataType::Int64, true),
            Field::new("text", DataType::Utf8View, true),
        ]))
    }

    fn batch(rows: &[(u32, Option<i64>)]) -> (RecordBatch, Vec<u32>) {
        let texts = rows.iter().map(|(_, value)| {
            value.map(|value| format!("a text of more than twelve bytes {value}"))
        });
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter(rows.iter().map(|(_, value)| *value))),
            Arc::new(StringViewArray::from_iter(texts)),
        ];
        let keys = rows.iter().map(|(person, _)| *person).collect();
        (RecordBatch::try_new(schema(), columns).unwrap(), keys)
    }

    fn sorted_rows(rows: &[(u32, Option<i64>)], person: u32) -> Vec<Option<i64>> {
        let mut values: Vec<_> =
            rows.iter().filter(|row| row.0 == person).map(|row| row.1).collect();
        values.sort_unstable();
        values
    }

    proptest! {
        #[test]
        fn persons_whose_rows_are_others_have_moved(
            before in prop::collection::vec((0_u32..6, prop::option::of(0_i64..3)), 0..20),
            after in prop::collection::vec((0_u32..6, prop::option::of(0_i64..3)), 0..20),
            kept in any::<[bool; 6]>(),
        ) {
            // Persons that are kept have the same rows in another order.
            let stays = |row: &&(u32, Option<i64>)| kept[row.0 as usize];
            let mut after: Vec<_> = after.iter().filter(|row| !stays(row)).copied().collect();
            after.extend(before.iter().rev().filter(stays));
            let dir = tempfile::tempdir().unwrap();
            let tiers = Tiers::open(dir.path(), LiveMemory::default()).unwrap();
            let mut table = KeyedRows::new(&schema(), &tiers);
            let (rows, keys) = batch(&before);
            table.append(&rows, keys).unwrap();
            let (rows, keys) = batch(&after);
            let persons: Vec<u32> = (0..6).collect();
            let expected: Vec<u32> = persons
                .iter()
                .copied()
                .filter(|person| sorted_rows(&before, *person) != sorted_rows(&after, *person))
                .collect();
            prop_assert_eq!(moved(&table, &persons, &rows, &keys).unwrap(), expected);
        }
    }
}

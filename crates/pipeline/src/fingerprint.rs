//! Hashes by which one build knows what the one before was made from.

use arrow::array::RecordBatch;
use arrow::row::{RowConverter, SortField};
use md5::{Digest, Md5};

/// Hex digits of an md5 over texts, each with its length, so that parts can't run into each other.
pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of rows that does not depend on their order: the sum of the hashes of all rows.
///
/// Empty where a type can't be compared row by row.
pub(crate) fn rows(batches: &[RecordBatch]) -> String {
    let mut sum: u128 = 0;
    let mut count: u64 = 0;
    for batch in batches {
        let fields = batch
            .schema()
            .fields()
            .iter()
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        let Ok(converter) = RowConverter::new(fields) else { return String::new() };
        let Ok(rows) = converter.convert_columns(batch.columns()) else { return String::new() };
        for row in &rows {
            let digest = Md5::digest(row.as_ref());
            let mut bytes = [0u8; 16];
            bytes.copy_from_slice(&digest);
            sum = sum.wrapping_add(u128::from_le_bytes(bytes));
        }
        count += batch.num_rows() as u64;
    }
    format!("{count}:{sum:032x}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("x", column)]).unwrap()
    }

    #[test]
    fn order_does_not_matter_and_repetition_does() {
        assert_eq!(rows(&[batch(&[1, 2]), batch(&[3])]), rows(&[batch(&[3, 1, 2])]));
        assert_ne!(rows(&[batch(&[1, 2])]), rows(&[batch(&[1, 2, 2])]));
        assert_ne!(rows(&[batch(&[1, 1])]), rows(&[batch(&[2, 2])]));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
    }
}

//! Where an id stands in rows: in any text, however deep in lists and structs.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Marks the rows of which some text passes the test.
pub(super) fn rows_with(
    batch: &RecordBatch,
    test: &dyn Fn(&str) -> bool,
) -> Result<BooleanArray, ArrowError> {
    let mut marks = vec![false; batch.num_rows()];
    for column in batch.columns() {
        mark(column, test, &mut marks)?;
    }
    Ok(BooleanArray::from(marks))
}

fn mark(
    column: &ArrayRef,
    test: &dyn Fn(&str) -> bool,
    marks: &mut [bool],
) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(_, _) => {
            mark(&cast(column, &DataType::Utf8View)?, test, marks)?;
        }
        DataType::Utf8View => {
            let texts = column.as_string_view();
            for (row, mark) in marks.iter_mut().enumerate() {
                *mark |= texts.is_valid(row) && test(texts.value(row));
            }
        }
        DataType::Struct(_) => {
            for child in column.as_struct().columns() {
                mark(child, test, marks)?;
            }
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let mut inner = vec![false; lists.values().len()];
            mark(lists.values(), test, &mut inner)?;
            for (row, ends) in lists.value_offsets().windows(2).enumerate() {
                let range = ends[0] as usize..ends[1] as usize;
                marks[row] |= lists.is_valid(row) && inner[range].contains(&true);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether a text holds a word: not as a part of a longer id.
pub(super) fn holds_word(text: &str, word: &str) -> bool {
    let joins = |char: char| char.is_alphanumeric() || char == '_' || char == '.';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

/// The same of bytes that may be no text.
pub(super) fn bytes_hold_word(bytes: &[u8], word: &str) -> bool {
    let joins = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'.')
    };
    let word = word.as_bytes();
    bytes.windows(word.len().max(1)).enumerate().any(|(at, window)| {
        window == word
            && !joins(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && !joins(bytes.get(at + word.len()))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ListBuilder, StringArray, StringBuilder, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn texts_are_found_at_any_depth() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for row in [vec!["a", "id"], vec![], vec!["b"]] {
            row.iter().for_each(|text| lists.values().append_value(text));
            lists.append(true);
        }
        let lists: ArrayRef = Arc::new(lists.finish());
        let field = Arc::new(Field::new("list", lists.data_type().clone(), true));
        let deep: ArrayRef = Arc::new(StructArray::from(vec![(field, lists)]));
        let flat: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x"), Some("id")]));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("deep", deep, true), ("flat", flat, true)]);
        let marks = rows_with(&batch.unwrap(), &|text| text == "id").unwrap();
        assert_eq!(marks, BooleanArray::from(vec![true, false, true]));
    }

    #[test]
    fn a_part_of_a_longer_id_is_no_word() {
        for (text, expected) in [
            ("12.34", true),
            ("{\"client_id\":\"12.34\"}", true),
            ("cid=12.34&x=1", true),
            ("112.34", false),
            ("12.345", false),
            ("12.34.5 and 12.34", true),
            ("12x34", false),
        ] {
            assert_eq!(holds_word(text, "12.34"), expected, "{text}");
            assert_eq!(bytes_hold_word(text.as_bytes(), "12.34"), expected, "{text}");
        }
    }
}

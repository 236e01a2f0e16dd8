//! Rows to NDJSON in the shape of a BigQuery extract.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Fields, Float64Type, Int64Type};

/// Writes the rows of `batch` to `out` in the shape of a BigQuery extract: INT64 as strings, null
/// fields omitted, an empty repeated field as `[]`, a struct of nulls as `{}`; `<`, `>` and `&`
/// escaped.
///
/// Columns of other types than the canonical ones are left out.
pub fn write_rows(batch: &RecordBatch, out: &mut Vec<u8>) {
    let members = members(batch.schema_ref().fields(), batch.columns());
    for row in 0..batch.num_rows() {
        write_object(&members, row, out);
        out.push(b'\n');
    }
}

/// A field of an object: its key as JSON with the colon, and where its values are.
struct Member<'a> {
    key: Vec<u8>,
    values: Values<'a>,
}

enum Values<'a> {
    Text(&'a arrow::array::StringViewArray),
    Int(&'a arrow::array::Int64Array),
    Float(&'a arrow::array::Float64Array),
    Bool(&'a arrow::array::BooleanArray),
    Struct(&'a arrow::array::StructArray, Vec<Member<'a>>),
    List(&'a arrow::array::ListArray, Box<Values<'a>>),
}

fn members<'a>(fields: &Fields, columns: &'a [ArrayRef]) -> Vec<Member<'a>> {
    let member = |(field, column): (&arrow::datatypes::FieldRef, &'a ArrayRef)| {
        let values = values(column)?;
        // All-null columns print nothing: not even looking at them is a large part of the speed.
        if column.null_count() == column.len() {
            return None;
        }
        let mut key = Vec::new();
        write_text(field.name(), &mut key);
        key.push(b':');
        Some(Member { key, values })
    };
    fields.iter().zip(columns).filter_map(member).collect()
}

fn values(column: &ArrayRef) -> Option<Values<'_>> {
    Some(match column.data_type() {
        DataType::Utf8View => Values::Text(column.as_string_view()),
        DataType::Int64 => Values::Int(column.as_primitive::<Int64Type>()),
        DataType::Float64 => Values::Float(column.as_primitive::<Float64Type>()),
        DataType::Boolean => Values::Bool(column.as_boolean()),
        DataType::Struct(fields) => {
            let array = column.as_struct();
            Values::Struct(array, members(fields, array.columns()))
        }
        DataType::List(_) => {
            let array = column.as_list::<i32>();
            Values::List(array, Box::new(values(array.values())?))
        }
        _ => return None,
    })
}

fn write_object(members: &[Member<'_>], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for member in members {
        if member.values.is_absent(row) {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        out.extend_from_slice(&member.key);
        member.values.write(row, out);
    }
    out.push(b'}');
}

impl Values<'_> {
    /// True when the row has no member for it.
    fn is_absent(&self, row: usize) -> bool {
        match self {
            Self::Text(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::Float(array) => array.is_null(row),
            Self::Bool(array) => array.is_null(row),
            Self::Struct(array, _) => array.is_null(row),
            Self::List(array, _) => array.is_null(row),
        }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Text(array) => write_text(array.value(row), out),
            Self::Int(array) => {
                out.push(b'"');
                write_int(array.value(row), out);
                out.push(b'"');
            }
            Self::Float(array) => write_float(array.value(row), out),
            Self::Bool(array) if array.value(row) => out.extend_from_slice(b"true"),
            Self::Bool(_) => out.extend_from_slice(b"false"),
            Self::Struct(_, members) => write_object(members, row, out),
            Self::List(array, element) => {
                out.push(b'[');
                let (start, end) = (array.value_offsets()[row], array.value_offsets()[row + 1]);
                for index in start..end {
                    if index > start {
                        out.push(b',');
                    }
                    element.write(index as usize, out);
                }
                out.push(b']');
            }
        }
    }
}

pub(crate) fn write_int(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

pub(crate) fn write_float(value: f64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to memory cannot fail. `{:?}` prints the shortest decimal that reads back exactly.
    let _ = match value {
        value if value.is_nan() => write!(out, "\"NaN\""),
        f64::INFINITY => write!(out, "\"Infinity\""),
        f64::NEG_INFINITY => write!(out, "\"-Infinity\""),
        value => write!(out, "{value:?}"),
    };
}

/// How many bytes at the start certainly stand for themselves, in whole steps that a processor takes at once.
fn plain_bytes(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    const STEP: usize = 16;
    let is_plain = |step: &&[u8]| !step.iter().fold(false, |any, byte| any | is_special(*byte));
    bytes.chunks_exact(STEP).take_while(is_plain).count() * STEP
}

/// What JSON does not allow in a text.
fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Writes a text as BigQuery does.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    let is_special = |byte: u8| {
        needs_escape(byte) | (byte == b'<') | (byte == b'>') | (byte == b'&') | (byte == 0x7f)
    };
    write_quoted(text, is_special, out);
}

/// Writes a text with the escapes only that it must have: addresses are full of `&`, and texts without escapes are read sooner.
pub(crate) fn write_bare_text(text: &str, out: &mut Vec<u8>) {
    write_quoted(text, needs_escape, out);
}

fn write_quoted(text: &str, is_special: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut start = 0;
    for (index, &byte) in bytes.iter().enumerate().skip(plain_bytes(bytes, &is_special)) {
        if !is_special(byte) {
            continue;
        }
        let short = match byte {
            b'"' | b'\\' => Some(byte),
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            _ => None,
        };
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        match short {
            Some(short) => out.extend_from_slice(&[b'\\', short]),
            None => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_an_escape_has_one_wherever_it_stands() {
        for special in (0..0x20).chain(*b"\"\\<>&\x7f").map(char::from) {
            let is_html = matches!(special, '<' | '>' | '&' | '\x7f');
            for before in 0..40 {
                let text = format!("{}{special}{}", "é".repeat(before), "x".repeat(40 - before));
                let escapes = |write: fn(&str, &mut Vec<u8>)| {
                    let mut written = Vec::new();
                    write(&text, &mut written);
                    let written = String::from_utf8(written).unwrap();
                    assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
                    written.matches('\\').count()
                };
                let one = if special == '\\' { 2 } else { 1 };
                assert_eq!(escapes(write_text), one, "{text:?}");
                assert_eq!(escapes(write_bare_text), if is_html { 0 } else { one }, "{text:?}");
            }
        }
    }
}

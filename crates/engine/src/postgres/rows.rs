//! Arrow → the binary format of PostgreSQL's `COPY`, and the types of its columns.
//!
//! Values go as bits, not as text, so nothing is rounded or escaped: decimals keep their digits, NaN stays NaN, an
//! empty text is no null. Lists and structs become `jsonb`. The one thing that PostgreSQL can't hold is the character
//! U+0000 within a text: it becomes U+FFFD, and is counted.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType,
};
use arrow::json::writer::{LineDelimited, WriterBuilder};

use crate::error::{EngineError, Result};

/// What stands before the first row: signature, flags, length of an extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What stands after the last row: a row of -1 fields.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Days and microseconds from 1970 to 2000, from where PostgreSQL counts.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_TO_2000: i64 = DAYS_TO_2000 as i64 * 86_400_000_000;

/// The version of jsonb's binary form.
const JSONB: u8 = 1;

/// What a zero character becomes.
const REPLACEMENT: &str = "\u{fffd}";

/// PostgreSQL's type for one of the types that our tables hold, as its catalog writes it; `None` where there is none.
pub(super) fn sql_type(data_type: &DataType) -> Option<String> {
    let name = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Date32 => "date",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Utf8View => "text",
        DataType::Binary => "bytea",
        DataType::List(_) | DataType::Struct(_) => "jsonb",
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            return Some(format!("numeric({precision},{scale})"));
        }
        _ => return None,
    };
    Some(name.to_owned())
}

/// Writes one value that is not null.
type Put<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// Appends the rows of a batch whose types are those of [`crate::delta::stored_schema`]; gives how many zero characters
/// were replaced.
///
/// # Errors
/// A type without a counterpart.
pub(super) fn append(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<u64> {
    let replaced = Cell::new(0);
    let columns = batch
        .columns()
        .iter()
        .map(|column| Ok((column.logical_nulls(), put(column, &replaced)?)))
        .collect::<Result<Vec<_>>>()?;
    let count = i16::try_from(columns.len()).map_err(internal)?.to_be_bytes();
    for row in 0..batch.num_rows() {
        out.extend(count);
        for (nulls, put) in &columns {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                out.extend((-1_i32).to_be_bytes());
                continue;
            }
            let start = out.len() + 4;
            out.extend([0; 4]);
            put(row, out);
            let length = i32::try_from(out.len() - start).map_err(internal)?;
            out[start - 4..start].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(replaced.get())
}

fn put<'a>(array: &'a ArrayRef, replaced: &'a Cell<u64>) -> Result<Put<'a>> {
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.push(array.value(row).into()))
        }
        DataType::Int8 => number::<Int8Type, 2>(array, |value| i16::from(value).to_be_bytes()),
        DataType::Int16 => number::<Int16Type, 2>(array, i16::to_be_bytes),
        DataType::Int32 => number::<Int32Type, 4>(array, i32::to_be_bytes),
        DataType::Int64 => number::<Int64Type, 8>(array, i64::to_be_bytes),
        DataType::Float32 => number::<Float32Type, 4>(array, f32::to_be_bytes),
        DataType::Float64 => number::<Float64Type, 8>(array, f64::to_be_bytes),
        // What does not fit wraps to a day that PostgreSQL refuses.
        DataType::Date32 => {
            number::<Date32Type, 4>(array, |days| days.wrapping_sub(DAYS_TO_2000).to_be_bytes())
        }
        DataType::Timestamp(_, _) => number::<TimestampMicrosecondType, 8>(array, |micros| {
            micros.wrapping_sub(MICROS_TO_2000).to_be_bytes()
        }),
        DataType::Decimal128(_, scale) => {
            let (array, scale) =
                (array.as_primitive::<Decimal128Type>(), u32::from(scale.unsigned_abs()));
            Box::new(move |row, out| numeric(array.value(row), scale, out))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            Box::new(move |row, out| text(array.value(row), replaced, out))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| out.extend_from_slice(array.value(row)))
        }
        DataType::List(_) | DataType::Struct(_) => {
            let lines = json(array, replaced)?;
            Box::new(move |row, out| {
                out.push(JSONB);
                out.extend_from_slice(lines[row].as_bytes());
            })
        }
        other => return Err(internal(format!("no way to write {other}"))),
    })
}

fn number<T: ArrowPrimitiveType, const N: usize>(
    array: &ArrayRef,
    bytes: fn(T::Native) -> [u8; N],
) -> Put<'_> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| out.extend(bytes(array.value(row))))
}

fn text(value: &str, replaced: &Cell<u64>, out: &mut Vec<u8>) {
    let mut parts = value.split('\0');
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        replaced.set(replaced.get() + 1);
        out.extend_from_slice(REPLACEMENT.as_bytes());
        out.extend_from_slice(part.as_bytes());
    }
}

/// A decimal as groups of four digits: their number, the weight of the first, the sign, the digits after the point.
fn numeric(value: i128, scale: u32, out: &mut Vec<u8>) {
    // 10^38 is the largest power that fits; no decimal has more digits.
    let power = 10_u128.pow(scale.min(38));
    let (mut whole, mut rest) = (value.unsigned_abs() / power, value.unsigned_abs() % power);
    let mut groups: Vec<u16> = Vec::with_capacity(20);
    while whole > 0 {
        groups.push((whole % 10_000) as u16);
        whole /= 10_000;
    }
    groups.reverse();
    let weight = groups.len() as i16 - 1;
    let mut left = scale;
    while left > 0 {
        let taken = left.min(4);
        left -= taken;
        let unit = 10_u128.pow(left);
        groups.push((rest / unit) as u16 * 10_u16.pow(4 - taken));
        rest %= unit;
    }
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    out.extend((groups.len() as i16).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend((scale as i16).to_be_bytes());
    for group in groups {
        out.extend(group.to_be_bytes());
    }
}

/// Each value of a nested column as JSON; nulls inside stand there, decimals and 64-bit numbers keep their digits.
fn json(array: &ArrayRef, replaced: &Cell<u64>) -> Result<Vec<String>> {
    const BEFORE: &str = "{\"v\":";
    let field = Field::new("v", array.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(array)])
        .map_err(internal)?;
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.6f".into())
        .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.6fZ".into())
        .build::<_, LineDelimited>(Vec::new());
    writer.write(&batch).and_then(|()| writer.finish()).map_err(internal)?;
    let text = String::from_utf8(writer.into_inner()).map_err(internal)?;
    let value = |line: &str| {
        let line = line.strip_prefix(BEFORE).and_then(|line| line.strip_suffix('}'));
        without_zeros(line.unwrap_or("null"), replaced)
    };
    Ok(text.lines().map(value).collect())
}

/// JSON in which no escape stands for U+0000.
fn without_zeros(json: &str, replaced: &Cell<u64>) -> String {
    const ZERO: &str = "\\u0000";
    if !json.contains(ZERO) {
        return json.to_owned();
    }
    let (mut out, mut rest) = (String::with_capacity(json.len()), json);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // A backslash and what it escapes: `\\u0000` is a backslash before five plain characters.
        let taken = if rest.starts_with(ZERO) { ZERO.len() } else { 2.min(rest.len()) };
        if taken == ZERO.len() {
            replaced.set(replaced.get() + 1);
            out.push_str(REPLACEMENT);
        } else {
            out.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

fn internal(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(format!("rows for PostgreSQL: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListArray, StringViewArray};

    /// The value that PostgreSQL reads from the bytes of a numeric.
    fn read(bytes: &[u8]) -> String {
        let word = |at: usize| i16::from_be_bytes([bytes[at * 2], bytes[at * 2 + 1]]);
        let (count, weight, scale) = (word(0), word(1), word(3) as usize);
        let digit = |place: i16| match usize::try_from(weight - place) {
            Ok(at) if at < count as usize => word(4 + at),
            _ => 0,
        };
        let whole: String =
            (0..=weight.max(0)).rev().map(|at| format!("{:04}", digit(at))).collect();
        let rest: String =
            (1..=scale.div_ceil(4)).map(|at| format!("{:04}", digit(-(at as i16)))).collect();
        let whole = whole.trim_start_matches('0');
        let sign = if word(2) == 0x4000 { "-" } else { "" };
        format!("{sign}{}.{}", if whole.is_empty() { "0" } else { whole }, &rest[..scale])
    }

    #[test]
    fn decimals_keep_every_digit() {
        let cases: [(i128, u32, &str); 9] = [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-123_456_789, 9, "-0.123456789"),
            (1_000_000_000_123, 9, "1000.000000123"),
            (120_000, 4, "12.0000"),
            (99_999, 1, "9999.9"),
            (-10_000_000_000, 6, "-10000.000000"),
            (10_i128.pow(38) - 1, 38, "0.99999999999999999999999999999999999999"),
            (1 - 10_i128.pow(38), 3, "-99999999999999999999999999999999999.999"),
        ];
        for (value, scale, text) in cases {
            let mut out = Vec::new();
            numeric(value, scale, &mut out);
            assert_eq!(read(&out), text);
        }
    }

    #[test]
    fn rows_have_lengths_and_nulls() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a\0b"), Some(""), None]));
        let batch = RecordBatch::try_from_iter([("t", texts)]).unwrap();
        let mut out = Vec::new();
        assert_eq!(append(&batch, &mut out).unwrap(), 1);
        let wanted = [
            &[0, 1, 0, 0, 0, 5, b'a', 0xef, 0xbf, 0xbd, b'b'][..],
            &[0, 1, 0, 0, 0, 0],
            &[0, 1, 0xff, 0xff, 0xff, 0xff],
        ];
        assert_eq!(out, wanted.concat());
    }

    #[test]
    fn nested_values_are_json() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(9_007_199_254_740_993), None]),
            None,
            Some(vec![]),
        ]);
        let replaced = Cell::new(0);
        let lines = json(&(Arc::new(lists) as ArrayRef), &replaced).unwrap();
        assert_eq!(lines, ["[9007199254740993,null]", "null", "[]"]);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(put(&numbers, &replaced).is_ok());
    }

    #[test]
    fn only_zero_characters_go() {
        let replaced = Cell::new(0);
        assert_eq!(
            without_zeros(r#"{"a":"\\u0000\u0000\n"}"#, &replaced),
            "{\"a\":\"\\\\u0000\u{fffd}\\n\"}"
        );
        assert_eq!(replaced.get(), 1);
    }
}

//! Small text functions: `usable` and `hash_key`.

use std::sync::Arc;

use arrow::array::{Array, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::digests::Digests;
use super::event_key::push_text;
use super::url::strings;

/// Values that GA4 and careless tags write for "nothing" [2.7].
const UNUSABLE: [&str; 4] = ["(not set)", "undefined", "null", "(data not available)"];

/// The trimmed text, or `None` where it says nothing [2.7].
pub(super) fn usable_text(text: &str) -> Option<&str> {
    let trimmed = text.trim_matches(' ');
    let empty =
        trimmed.is_empty() || UNUSABLE.iter().any(|word| word.eq_ignore_ascii_case(trimmed));
    (!empty).then_some(trimmed)
}

/// `usable(text)`: the trimmed text, null where it is a placeholder for nothing [2.7].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Usable {
    signature: Signature,
}

impl Usable {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Usable {
    fn name(&self) -> &str {
        "usable"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = strings(&args, 0)?;
        if texts.null_count() == texts.len() {
            return Ok(ColumnarValue::Array(Arc::new(texts)));
        }
        let mut builder = StringViewBuilder::with_capacity(texts.len());
        for text in &texts {
            builder.append_option(text.and_then(usable_text));
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

/// `hash_key(a, b, …)`: md5 in hexadecimal digits over `<byte length>:<text>` of each argument, `-` for
/// null; the keys of sessions, touches and conversions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct HashKey {
    signature: Signature,
}

impl HashKey {
    pub(super) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for HashKey {
    fn name(&self) -> &str {
        "hash_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let parts =
            (0..args.args.len()).map(|index| strings(&args, index)).collect::<Result<Vec<_>>>()?;
        let is_as_before = |row: usize| {
            parts.iter().all(|part| {
                part.is_valid(row) == part.is_valid(row - 1)
                    && (part.is_null(row) || part.value(row) == part.value(row - 1))
            })
        };
        let mut keys = Digests::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            // Rows of a session often follow each other.
            if row > 0 && is_as_before(row) {
                keys.repeat();
                continue;
            }
            let text = keys.text();
            for part in &parts {
                match part.is_valid(row) {
                    true => push_text(part.value(row).as_bytes(), text),
                    false => text.push(b'-'),
                }
            }
            keys.finish();
        }
        Ok(ColumnarValue::Array(Arc::new(keys.column())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_say_nothing_and_unknown_says_something() {
        for nothing in ["", "  ", "(NOT SET)", "undefined", " null ", "(data not available)"] {
            assert_eq!(usable_text(nothing), None, "{nothing:?}");
        }
        assert_eq!(usable_text(" Google "), Some("Google"));
        assert_eq!(usable_text("(data deleted)"), Some("(data deleted)"));
    }
}

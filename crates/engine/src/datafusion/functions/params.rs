//! `ga4_params(event_params, 'key:type', …)`: all wanted parameters of an event in one walk.
//!
//! The list of a GA4 row holds about ten key/value pairs. SQL that looks a key up once per column walks
//! the list once per column; this function walks it once per row and fills every wanted column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, Int64Builder, ListArray,
    StringViewArray, StringViewBuilder, StructArray, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// The name in SQL.
pub(super) const NAME: &str = "ga4_params";

/// What a parameter is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `string_value`, else the integer or double as text.
    Text,
    /// `int_value`, else the digits of `string_value`, else an integral double.
    Int,
    /// Double, else float, else integer, else a numeric string.
    Number,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "string" => Some(Self::Text),
            "int" => Some(Self::Int),
            "number" => Some(Self::Number),
            _ => None,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8View,
            Self::Int => DataType::Int64,
            Self::Number => DataType::Float64,
        }
    }
}

#[derive(Debug, Clone)]
struct Wanted {
    key: String,
    kind: Kind,
}

fn parse_wanted(spec: &str) -> Result<Wanted> {
    let (key, kind) = spec.rsplit_once(':').unwrap_or((spec, "string"));
    match Kind::parse(kind) {
        Some(kind) if !key.is_empty() => Ok(Wanted { key: key.to_owned(), kind }),
        _ => plan_err!("{NAME}: `{spec}` is not `key:type`; type is one of string, int, number"),
    }
}

/// The function; see the module's text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Ga4Params {
    signature: Signature,
}

impl Ga4Params {
    pub(super) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Ga4Params {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("{NAME}: the type depends on the wanted keys")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<Arc<Field>> {
        let fields = args
            .scalar_arguments
            .iter()
            .skip(1)
            .map(|argument| match argument.and_then(|value| value.try_as_str().flatten()) {
                Some(spec) => {
                    let wanted = parse_wanted(spec)?;
                    Ok(Field::new(wanted.key, wanted.kind.data_type(), true))
                }
                None => {
                    plan_err!("{NAME}: wanted keys must be text literals such as 'value:number'")
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Field::new(NAME, DataType::Struct(fields.into()), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wanted = args.args[1..]
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Scalar(
                    ScalarValue::Utf8(Some(spec)) | ScalarValue::Utf8View(Some(spec)),
                ) => parse_wanted(spec),
                _ => exec_err!("{NAME}: wanted keys must be text literals"),
            })
            .collect::<Result<Vec<_>>>()?;
        let list = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(extract(&list, &wanted)?))
    }
}

/// The key/value lists of a batch, every leaf in the type that the readers give.
pub(super) struct ParamLists {
    pub(super) list: ListArray,
    pub(super) keys: StringViewArray,
    pub(super) text: StringViewArray,
    pub(super) int: Int64Array,
    pub(super) float: Float64Array,
    pub(super) double: Float64Array,
}

impl ParamLists {
    /// Reads `list<struct<key, value: struct<…>>>` by field names; absent leaves are null.
    pub(super) fn read(array: &ArrayRef) -> Result<Self> {
        let Some(list) = array.as_list_opt::<i32>() else {
            return exec_err!(
                "event_params must be a list of key/value structs, not {}",
                array.data_type()
            );
        };
        let Some(items) = list.values().as_struct_opt() else {
            return exec_err!("event_params must hold structs, not {}", list.values().data_type());
        };
        let value = leaf_struct(items, "value");
        let leaf = |name: &str, data_type: &DataType| -> Result<ArrayRef> {
            match value.as_ref().and_then(|value| value.column_by_name(name)) {
                Some(column) => Ok(cast(column, data_type)?),
                None => Ok(arrow::array::new_null_array(data_type, items.len())),
            }
        };
        let keys = match items.column_by_name("key") {
            Some(keys) => cast(keys, &DataType::Utf8View)?,
            None => return exec_err!("event_params has no field `key`"),
        };
        Ok(Self {
            list: list.clone(),
            keys: keys.as_string_view().clone(),
            text: leaf("string_value", &DataType::Utf8View)?.as_string_view().clone(),
            int: leaf("int_value", &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            float: leaf("float_value", &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
            double: leaf("double_value", &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
        })
    }

    /// Element positions of one row.
    pub(super) fn row(&self, row: usize) -> std::ops::Range<usize> {
        if self.list.is_null(row) {
            return 0..0;
        }
        let offsets = self.list.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }
}

fn leaf_struct<'a>(parent: &'a StructArray, name: &str) -> Option<&'a StructArray> {
    parent.column_by_name(name).and_then(|column| column.as_struct_opt())
}

const NONE: u32 = u32::MAX;

/// Wanted keys by the first eight bytes of an Arrow string view (length and four-byte prefix), so that
/// most unwanted keys are passed over without touching their text.
struct KeyIndex {
    heads: Vec<(u64, Vec<usize>)>,
    slots: [u8; 256],
}

impl KeyIndex {
    fn new(wanted: &[Wanted]) -> Self {
        let mut heads: Vec<(u64, Vec<usize>)> = Vec::new();
        for (index, entry) in wanted.iter().enumerate() {
            let head = head_of(entry.key.as_bytes());
            match heads.iter_mut().find(|(known, _)| *known == head) {
                Some((_, fields)) => fields.push(index),
                None => heads.push((head, vec![index])),
            }
        }
        let mut slots = [u8::MAX; 256];
        for (index, (head, _)) in heads.iter().enumerate() {
            let mut slot = slot_of(*head);
            while slots[slot] != u8::MAX {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = index as u8;
        }
        Self { heads, slots }
    }

    fn candidates(&self, head: u64) -> &[usize] {
        let mut slot = slot_of(head);
        while self.slots[slot] != u8::MAX {
            let (known, fields) = &self.heads[usize::from(self.slots[slot])];
            if *known == head {
                return fields;
            }
            slot = (slot + 1) % self.slots.len();
        }
        &[]
    }
}

fn slot_of(head: u64) -> usize {
    (head.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize
}

fn head_of(key: &[u8]) -> u64 {
    let mut prefix = [0u8; 4];
    let length = key.len().min(4);
    prefix[..length].copy_from_slice(&key[..length]);
    (key.len() as u64 & 0xFFFF_FFFF) | (u64::from(u32::from_le_bytes(prefix)) << 32)
}

fn extract(array: &ArrayRef, wanted: &[Wanted]) -> Result<ArrayRef> {
    // One slot in 256 must stay free for the probe to end.
    if wanted.len() > 200 {
        return exec_err!("{NAME}: at most 200 keys at once, {} given", wanted.len());
    }
    let lists = ParamLists::read(array)?;
    let hits = find(&lists, wanted);
    let columns = wanted
        .iter()
        .zip(hits)
        .map(|(entry, hits)| column(&lists, entry.kind, hits))
        .collect::<Result<Vec<_>>>()?;
    let fields: Fields =
        wanted.iter().map(|entry| Field::new(&entry.key, entry.kind.data_type(), true)).collect();
    Ok(Arc::new(StructArray::try_new_with_length(fields, columns, None, array.len())?))
}

/// For each wanted key and row, the position of its first element, or [`NONE`].
fn find(lists: &ParamLists, wanted: &[Wanted]) -> Vec<Vec<u32>> {
    let rows = lists.list.len();
    let index = KeyIndex::new(wanted);
    let mut hits = vec![vec![NONE; rows]; wanted.len()];
    let views = lists.keys.views();
    for row in 0..rows {
        for element in lists.row(row) {
            let head = views[element] as u64;
            for &field in index.candidates(head) {
                if hits[field][row] == NONE
                    && lists.keys.is_valid(element)
                    && lists.keys.value(element) == wanted[field].key
                {
                    hits[field][row] = element as u32;
                }
            }
        }
    }
    hits
}

fn column(lists: &ParamLists, kind: Kind, hits: Vec<u32>) -> Result<ArrayRef> {
    let positions: UInt32Array = hits.iter().map(|&hit| (hit != NONE).then_some(hit)).collect();
    let leaf: &dyn Array = match kind {
        Kind::Text => &lists.text,
        Kind::Int => &lists.int,
        Kind::Number => &lists.double,
    };
    let taken = take(leaf, &positions, None)?;
    // The plain leaf is what nearly every row has; only other variants need the slow way.
    let other_variant = (0..hits.len()).any(|row| hits[row] != NONE && taken.is_null(row));
    if !other_variant {
        return Ok(taken);
    }
    Ok(match kind {
        Kind::Text => Arc::new(texts(lists, &hits)),
        Kind::Int => Arc::new(ints(lists, &hits)),
        Kind::Number => Arc::new(numbers(lists, &hits)),
    })
}

fn texts(lists: &ParamLists, hits: &[u32]) -> StringViewArray {
    let mut builder = StringViewBuilder::with_capacity(hits.len());
    for &hit in hits {
        let at = hit as usize;
        if hit == NONE {
            builder.append_null();
        } else if lists.text.is_valid(at) {
            builder.append_value(lists.text.value(at));
        } else if lists.int.is_valid(at) {
            builder.append_value(lists.int.value(at).to_string());
        } else if let Some(number) = double_at(lists, at) {
            builder.append_value(number.to_string());
        } else {
            builder.append_null();
        }
    }
    builder.finish()
}

fn ints(lists: &ParamLists, hits: &[u32]) -> Int64Array {
    let mut builder = Int64Builder::with_capacity(hits.len());
    for &hit in hits {
        let at = hit as usize;
        builder.append_option(if hit == NONE {
            None
        } else if lists.int.is_valid(at) {
            Some(lists.int.value(at))
        } else if lists.text.is_valid(at) {
            lists.text.value(at).trim().parse().ok()
        } else {
            double_at(lists, at).and_then(integral)
        });
    }
    builder.finish()
}

fn numbers(lists: &ParamLists, hits: &[u32]) -> Float64Array {
    let mut builder = Float64Builder::with_capacity(hits.len());
    for &hit in hits {
        let at = hit as usize;
        builder.append_option(if hit == NONE {
            None
        } else if let Some(number) = double_at(lists, at) {
            Some(number)
        } else if lists.int.is_valid(at) {
            Some(lists.int.value(at) as f64)
        } else if lists.text.is_valid(at) {
            lists.text.value(at).trim().parse().ok().filter(|number: &f64| number.is_finite())
        } else {
            None
        });
    }
    builder.finish()
}

fn double_at(lists: &ParamLists, at: usize) -> Option<f64> {
    if lists.double.is_valid(at) {
        Some(lists.double.value(at))
    } else if lists.float.is_valid(at) {
        Some(lists.float.value(at))
    } else {
        None
    }
}

fn integral(number: f64) -> Option<i64> {
    // 2^63 is the first double that an i64 can't hold.
    (number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0).then_some(number as i64)
}

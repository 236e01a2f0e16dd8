//! `ga4_event_key(…)`: the 128-bit identity of an event [2.19], as 32 hexadecimal digits.
//!
//! An event with an id of its sender's own is the same event whatever else a copy says: then only property, stream,
//! visitor, name, day and that id count. The day, because rows of one day are all that a build reads to find copies.
//!
//! md5 because every engine has it, so that the same event has the same key on BigQuery and DuckDB.
//! It identifies, it protects nothing.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::digests::Digests;
use super::params::ParamLists;

/// The name in SQL.
pub(super) const NAME: &str = "ga4_event_key";

/// Scalar arguments before `event_params` and `items`.
const SCALARS: usize = 10;

/// Those of them that count where there is no id of the sender's own: all but the day, which the time decides.
const WITHOUT_ID: [Option<usize>; 9] =
    [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), Some(7), Some(8)];

/// Those that count beside such an id, in the same places: property, stream, visitor, name, and the day for the time.
const BESIDE_ID: [Option<usize>; 9] =
    [Some(0), Some(1), Some(2), None, Some(4), Some(9), None, None, None];

/// The param of such an id.
const ID_PARAM: &str = "clicktrail_event_id";

/// The function; see the module's text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Ga4EventKey {
    signature: Signature,
}

impl Ga4EventKey {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(SCALARS + 2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Ga4EventKey {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let scalars = args.args[..SCALARS]
            .iter()
            .map(|argument| Scalar::read(&argument.to_array(rows)?))
            .collect::<Result<Vec<_>>>()?;
        let params = ParamLists::read(&args.args[SCALARS].to_array(rows)?)?;
        let items = Items::read(&args.args[SCALARS + 1].to_array(rows)?)?;
        let mut keys = Digests::with_capacity(rows);
        let mut sorter = ParamSorter::default();
        for row in 0..rows {
            let text = keys.text();
            let id = params.row(row).find(|&element| {
                params.keys.is_valid(element)
                    && params.keys.value(element) == ID_PARAM
                    && params.text.is_valid(element)
            });
            for place in if id.is_some() { BESIDE_ID } else { WITHOUT_ID } {
                match place {
                    Some(place) => scalars[place].render(row, text),
                    None => text.push(b'-'),
                }
            }
            if let Some(element) = id {
                render_param(&params, element, text);
            } else {
                sorter.render(&params, row, text);
                items.render(row, text);
            }
            keys.finish();
        }
        Ok(ColumnarValue::Array(Arc::new(keys.column())))
    }
}

/// Appends `<byte length>:<text>`, the form that keeps ("ab", "c") and ("a", "bc") apart.
pub(super) fn push_text(text: &[u8], out: &mut Vec<u8>) {
    push_decimal(text.len() as i64, out);
    out.push(b':');
    out.extend_from_slice(text);
}

fn push_decimal(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A number as `d<round(x · 10⁶)>`, so that all engines render the same digits; `n` when it has none.
fn push_micros(number: f64, out: &mut Vec<u8>) {
    let micros = (number * 1e6).round();
    if micros.abs() < 9_223_372_036_854_775_808.0 {
        out.push(b'd');
        push_decimal(micros as i64, out);
    } else {
        out.push(b'n');
    }
}

enum Scalar {
    Text(StringViewArray),
    Int(Int64Array),
}

impl Scalar {
    fn read(array: &ArrayRef) -> Result<Self> {
        match array.data_type() {
            data_type if data_type.is_integer() => {
                Ok(Self::Int(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Ok(Self::Text(cast(array, &DataType::Utf8View)?.as_string_view().clone()))
            }
            other => exec_err!("{NAME}: arguments are texts or integers, not {other}"),
        }
    }

    fn render(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Text(texts) if texts.is_valid(row) => push_text(texts.value(row).as_bytes(), out),
            Self::Int(numbers) if numbers.is_valid(row) => {
                push_text(itoa::Buffer::new().format(numbers.value(row)).as_bytes(), out);
            }
            _ => out.push(b'-'),
        }
    }
}

/// Renders the parameters of a row in byte order of their renderings, whatever order they came in.
#[derive(Default)]
struct ParamSorter {
    arena: Vec<u8>,
    /// The first eight bytes of each rendering as a number, which settle most comparisons; and its place.
    parts: Vec<(u64, Range<usize>)>,
}

impl ParamSorter {
    fn render(&mut self, params: &ParamLists, row: usize, out: &mut Vec<u8>) {
        self.arena.clear();
        self.parts.clear();
        for element in params.row(row) {
            let start = self.arena.len();
            render_param(params, element, &mut self.arena);
            let place = start..self.arena.len();
            self.parts.push((head(&self.arena[place.clone()]), place));
        }
        let arena = &self.arena;
        self.parts.sort_unstable_by(|(head, place), (other_head, other)| {
            head.cmp(other_head).then_with(|| arena[place.clone()].cmp(&arena[other.clone()]))
        });
        for (_, place) in &self.parts {
            out.extend_from_slice(&arena[place.clone()]);
        }
    }
}

/// The first eight bytes, as a number that orders as they do.
fn head(bytes: &[u8]) -> u64 {
    let mut first = [0u8; 8];
    let length = bytes.len().min(8);
    first[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(first)
}

fn render_param(params: &ParamLists, element: usize, out: &mut Vec<u8>) {
    if params.keys.is_valid(element) {
        push_text(params.keys.value(element).as_bytes(), out);
    } else {
        out.push(b'-');
    }
    if params.text.is_valid(element) {
        out.push(b's');
        push_text(params.text.value(element).as_bytes(), out);
    } else if params.int.is_valid(element) {
        out.push(b'i');
        push_decimal(params.int.value(element), out);
    } else if params.double.is_valid(element) {
        push_micros(params.double.value(element), out);
    } else if params.float.is_valid(element) {
        push_micros(params.float.value(element), out);
    } else {
        out.push(b'n');
    }
}

/// The identifying leaves of the items list.
struct Items {
    list: Option<arrow::array::ListArray>,
    texts: Vec<StringViewArray>,
    quantity: Option<Int64Array>,
    amounts: Vec<Float64Array>,
}

impl Items {
    fn read(array: &ArrayRef) -> Result<Self> {
        let empty = Self { list: None, texts: vec![], quantity: None, amounts: vec![] };
        if array.data_type() == &DataType::Null {
            return Ok(empty);
        }
        let Some(list) = array.as_list_opt::<i32>() else {
            return exec_err!("items must be a list of structs, not {}", array.data_type());
        };
        let Some(items) = list.values().as_struct_opt() else {
            return exec_err!("items must hold structs, not {}", list.values().data_type());
        };
        let leaf = |name: &str, data_type: &DataType| -> Result<ArrayRef> {
            match items.column_by_name(name) {
                Some(column) => Ok(cast(column, data_type)?),
                None => Ok(arrow::array::new_null_array(data_type, items.len())),
            }
        };
        let text = |name: &str| {
            leaf(name, &DataType::Utf8View).map(|array| array.as_string_view().clone())
        };
        let amount = |name: &str| {
            leaf(name, &DataType::Float64).map(|array| array.as_primitive::<Float64Type>().clone())
        };
        Ok(Self {
            list: Some(list.clone()),
            texts: vec![text("item_id")?, text("item_name")?],
            quantity: Some(leaf("quantity", &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            amounts: vec![amount("price")?, amount("item_revenue")?],
        })
    }

    fn render(&self, row: usize, out: &mut Vec<u8>) {
        let Some(list) = self.list.as_ref().filter(|list| list.is_valid(row)) else { return };
        let offsets = list.value_offsets();
        for element in offsets[row] as usize..offsets[row + 1] as usize {
            for texts in &self.texts {
                match texts.is_valid(element) {
                    true => push_text(texts.value(element).as_bytes(), out),
                    false => out.push(b'-'),
                }
            }
            match self.quantity.as_ref().filter(|quantity| quantity.is_valid(element)) {
                Some(quantity) => {
                    out.push(b'i');
                    push_decimal(quantity.value(element), out);
                }
                None => out.push(b'-'),
            }
            for amounts in &self.amounts {
                match amounts.is_valid(element) {
                    true => push_micros(amounts.value(element), out),
                    false => out.push(b'n'),
                }
            }
        }
    }
}

//! Decoded columns to canonical ones: by name at every level, without copying what already fits.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions,
    StringViewArray, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Fields, Float64Type, Schema, SchemaRef, TimeUnit,
};
use arrow::error::ArrowError;

use super::type_name;
use crate::IngestError;

/// Whole numbers up to here are exact in FLOAT64.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// How to turn one decoded column into its canonical form.
enum Step {
    /// It already fits.
    Keep,
    /// The file does not have it.
    Null(DataType),
    /// A leaf of another type; `path` for messages.
    Convert { path: String, to: Conversion },
    /// Rebuild the wrapper around adapted children; the index is that of the decoded child.
    Struct { fields: Fields, children: Vec<(usize, Step)> },
    /// Rebuild the list around its adapted element.
    List { element: FieldRef, inner: Box<Step> },
}

enum Conversion {
    Cast(DataType),
    /// Any timestamp to microseconds as INT64.
    Micros,
    /// FLOAT64 to INT64: NaN is null, a fraction is an error.
    WholeNumber,
    /// FLOAT64 to STRING: NaN is null, whole numbers print as such.
    NumberText,
    /// DATE to `YYYYMMDD`.
    DateText,
}

/// The plan for one file.
pub(super) struct Adapter {
    schema: SchemaRef,
    columns: Vec<(usize, Step)>,
}

impl Adapter {
    /// Plans how columns of schema `found` become `wanted`.
    pub(super) fn plan(
        path: &Path,
        found: &Schema,
        wanted: &SchemaRef,
    ) -> Result<Self, IngestError> {
        let columns = plan_fields(found.fields(), wanted.fields(), "").map_err(|mismatch| {
            IngestError::WrongType {
                path: path.to_owned(),
                column: mismatch.column,
                found: type_name(&mismatch.found),
                expected: type_name(&mismatch.expected),
            }
        })?;
        Ok(Self { schema: Arc::clone(wanted), columns })
    }

    /// Adapts one batch.
    pub(super) fn apply(
        &self,
        path: &Path,
        batch: &RecordBatch,
    ) -> Result<RecordBatch, IngestError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (index, step) in &self.columns {
            let adapted = step.apply(batch.columns().get(*index), batch.num_rows());
            columns.push(adapted.map_err(|bad| IngestError::BadValue {
                path: path.to_owned(),
                column: bad.column,
                reason: bad.reason,
            })?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(IngestError::internal)
    }
}

struct Mismatch {
    column: String,
    found: DataType,
    expected: DataType,
}

fn plan_fields(
    found: &Fields,
    wanted: &Fields,
    prefix: &str,
) -> Result<Vec<(usize, Step)>, Mismatch> {
    let plan = |field: &FieldRef| match found.find(field.name()) {
        None => Ok((usize::MAX, Step::Null(field.data_type().clone()))),
        Some((index, decoded)) => {
            let column = format!("{prefix}{}", field.name());
            let step = plan_type(decoded.data_type(), field.data_type(), column)?;
            Ok((index, step))
        }
    };
    wanted.iter().map(plan).collect()
}

fn plan_type(found: &DataType, wanted: &DataType, column: String) -> Result<Step, Mismatch> {
    match (found, wanted) {
        (found, wanted) if found == wanted => Ok(Step::Keep),
        (DataType::Null, wanted) => Ok(Step::Null(wanted.clone())),
        (DataType::Struct(inner), DataType::Struct(fields)) => {
            let children = plan_fields(inner, fields, &format!("{column}."))?;
            Ok(Step::Struct { fields: fields.clone(), children })
        }
        (DataType::List(inner), DataType::List(element)) => {
            let inner = plan_type(inner.data_type(), element.data_type(), column)?;
            Ok(Step::List { element: Arc::clone(element), inner: Box::new(inner) })
        }
        _ => match conversion(found, wanted, &column) {
            Some(to) => Ok(Step::Convert { path: column, to }),
            None => Err(Mismatch { column, found: found.clone(), expected: wanted.clone() }),
        },
    }
}

fn conversion(found: &DataType, wanted: &DataType, column: &str) -> Option<Conversion> {
    use DataType::{Binary, Boolean, Date32, Decimal128, Dictionary, Float64, Int64, Timestamp};
    use DataType::{BinaryView, LargeBinary, LargeUtf8, Utf8, Utf8View};
    let cast = || Some(Conversion::Cast(wanted.clone()));
    let is_text = matches!(found, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView);
    match (found, wanted) {
        (Dictionary(_, value), _) if value.as_ref() == wanted => cast(),
        (Dictionary(_, value), _) => conversion(value, wanted, column),
        (Date32, Utf8View) if column == "event_date" => Some(Conversion::DateText),
        (found, Utf8View) if found.is_floating() => Some(Conversion::NumberText),
        (found, Utf8View) if is_text || found.is_integer() || *found == Boolean => cast(),
        (Timestamp(..), Int64) => Some(Conversion::Micros),
        (found, Int64) if found.is_floating() => Some(Conversion::WholeNumber),
        (found, Int64) if is_text || found.is_integer() || *found == Boolean => cast(),
        (Decimal128(..), Int64 | Float64) => cast(),
        (found, Float64) if is_text || found.is_numeric() => cast(),
        (found, Boolean) if is_text || found.is_integer() => cast(),
        _ => None,
    }
}

struct BadValue {
    column: String,
    reason: String,
}

impl Step {
    fn apply(&self, decoded: Option<&ArrayRef>, rows: usize) -> Result<ArrayRef, BadValue> {
        let Some(array) = decoded else {
            return match self {
                Self::Null(data_type) => Ok(new_null_array(data_type, rows)),
                _ => Err(BadValue { column: "?".to_owned(), reason: "not decoded".to_owned() }),
            };
        };
        let internal = |error: ArrowError| BadValue {
            column: array.data_type().to_string(),
            reason: error.to_string(),
        };
        match self {
            Self::Keep => Ok(Arc::clone(array)),
            Self::Null(data_type) => Ok(new_null_array(data_type, rows)),
            Self::Convert { path, to } => to
                .apply(array)
                .map_err(|error| BadValue { column: path.clone(), reason: reason(&error) }),
            Self::Struct { fields, children } => {
                let found = array.as_struct();
                let adapt =
                    |(index, step): &(usize, Self)| step.apply(found.columns().get(*index), rows);
                let columns = children.iter().map(adapt).collect::<Result<Vec<_>, _>>()?;
                let nulls = found.nulls().cloned();
                StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)
                    .map(|array| Arc::new(array) as ArrayRef)
                    .map_err(internal)
            }
            Self::List { element, inner } => {
                let found = array.as_list::<i32>();
                let values = inner.apply(Some(found.values()), found.values().len())?;
                let (offsets, nulls) = (found.offsets().clone(), found.nulls().cloned());
                ListArray::try_new(Arc::clone(element), offsets, values, nulls)
                    .map(|array| Arc::new(array) as ArrayRef)
                    .map_err(internal)
            }
        }
    }
}

impl Conversion {
    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let cast = |array: &ArrayRef, to: &DataType| cast_with_options(array, to, &strict);
        match self {
            Self::Cast(to) => cast(array, to),
            Self::Micros => {
                let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                cast(&micros, &DataType::Int64)
            }
            Self::WholeNumber => {
                let numbers = cast(array, &DataType::Float64)?;
                whole_numbers(numbers.as_primitive::<Float64Type>())
            }
            Self::NumberText => {
                let numbers = cast(array, &DataType::Float64)?;
                let numbers: &Float64Array = numbers.as_primitive::<Float64Type>();
                let text = numbers.iter().map(|number| number.filter(|n| !n.is_nan()));
                let text = text.map(|number| number.map(|number| number.to_string()));
                Ok(Arc::new(text.collect::<StringViewArray>()))
            }
            Self::DateText => {
                let days = array.as_primitive::<Date32Type>();
                let text = (0..days.len()).map(|row| {
                    let date = days.is_valid(row).then(|| days.value_as_date(row)).flatten();
                    date.map(|date| date.format("%Y%m%d").to_string())
                });
                Ok(Arc::new(text.collect::<StringViewArray>()))
            }
        }
    }
}

fn whole_numbers(numbers: &Float64Array) -> Result<ArrayRef, ArrowError> {
    let whole = |number: Option<f64>| match number {
        Some(number) if number.is_nan() => Ok(None),
        Some(number) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => {
            Ok(Some(number as i64))
        }
        Some(number) => {
            Err(ArrowError::CastError(format!("{number} is not an exact whole number")))
        }
        None => Ok(None),
    };
    Ok(Arc::new(numbers.iter().map(whole).collect::<Result<Int64Array, _>>()?))
}

/// Arrow's message without its class name.
fn reason(error: &ArrowError) -> String {
    match error {
        ArrowError::CastError(text) | ArrowError::ParseError(text) => text.clone(),
        other => other.to_string(),
    }
}

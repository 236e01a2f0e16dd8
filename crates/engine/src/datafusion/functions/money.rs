//! `money(x)`: a float amount as DECIMAL(18,6), rounded half away from zero.

use std::sync::Arc;

use arrow::array::{AsArray, Decimal128Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// Digits of an amount.
const PRECISION: u8 = 18;
/// Digits after the point: micro-units.
const SCALE: i8 = 6;

/// The function; amounts beyond 10¹² are null, as no order is that large.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Money {
    signature: Signature,
}

impl Money {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

/// Micro-units of an amount.
fn micros(amount: f64) -> Option<i128> {
    let micros = (amount * 1e6).round();
    (micros.abs() < 1e18).then_some(micros as i128)
}

impl ScalarUDFImpl for Money {
    fn name(&self) -> &str {
        "money"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(PRECISION, SCALE))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let amounts = cast(&array, &DataType::Float64)?;
        let amounts: Decimal128Array = amounts
            .as_primitive::<Float64Type>()
            .iter()
            .map(|amount| amount.and_then(micros))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(amounts.with_precision_and_scale(PRECISION, SCALE)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_round_half_away_from_zero() {
        assert_eq!(micros(19.99), Some(19_990_000));
        assert_eq!(micros(0.000_000_5), Some(1));
        assert_eq!(micros(-0.000_000_5), Some(-1));
        assert_eq!(micros(f64::NAN), None);
        assert_eq!(micros(1e15), None);
    }
}

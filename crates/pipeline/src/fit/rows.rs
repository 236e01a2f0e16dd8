//! Fits as rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use clicktrail_attribution::fit::ChannelFit;
use clicktrail_attribution::fit::heuristics::Credits;

use super::EventFit;
use crate::error::Result;
use crate::live::arrow_fault;

/// Column of the fit's version, the first one.
pub(super) const FIT_ID: &str = "fit_id";

/// Whole-number weights: parts of the largest weight of a fit, so that SQL divides without floats.
const WEIGHT_PARTS: f64 = 1e9;

/// Nine digits after the point: as many as a decimal has on every engine.
const DIGITS: f64 = 1e9;

/// Rows of all fits, without the fit's version: sorted by key event, attribution model, channel.
pub(super) fn of_fits(events: &[EventFit], fitted_at: &str) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for event in events {
        for fit in &event.fits {
            let largest = fit.channels.iter().map(|channel| channel.weight).fold(0.0, f64::max);
            rows.extend(fit.channels.iter().map(|channel| (event, fit, channel, largest)));
        }
    }
    let texts = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..rows.len()).map(of).collect::<StringArray>())
    };
    let whole = |of: &dyn Fn(&ChannelFit) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row.2))).collect::<Int64Array>())
    };
    let number = |of: &dyn Fn(&ChannelFit) -> f64, precision: u8| -> Result<ArrayRef> {
        let parts = rows.iter().map(|row| Some((of(row.2) * DIGITS).round() as i128));
        let parts = parts.collect::<Decimal128Array>();
        Ok(Arc::new(parts.with_precision_and_scale(precision, 9).map_err(arrow_fault)?))
    };
    let amount = |of: &dyn Fn(usize) -> Option<i64>| -> Result<ArrayRef> {
        let micros: Decimal128Array = (0..rows.len()).map(|at| of(at).map(i128::from)).collect();
        Ok(Arc::new(micros.with_precision_and_scale(18, 6).map_err(arrow_fault)?))
    };
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let order = rows.iter().map(|row| row.1.order.map(|order| order as i64));
    let current: BooleanArray = rows.iter().map(|_| Some(true)).collect();
    let low: BooleanArray = rows.iter().map(|row| Some(row.2.is_low_volume)).collect();
    let weights = rows.iter().map(|row| Some((row.2.weight / row.3 * WEIGHT_PARTS).round() as i64));
    RecordBatch::try_from_iter_with_nullable([
        ("fitted_at", texts(&|_| Some(fitted_at.to_owned())), true),
        ("is_current", Arc::new(current) as ArrayRef, true),
        ("event_name", texts(&|at| Some(rows[at].0.event_name.clone())), true),
        ("attribution_model", texts(&|at| Some(rows[at].1.model.name().to_owned())), true),
        ("markov_order", Arc::new(order.collect::<Int64Array>()), true),
        ("channel", texts(&|at| Some(rows[at].2.channel.clone())), true),
        ("weight", number(&|channel| channel.weight, 28)?, true),
        ("credit_weight", Arc::new(weights.collect::<Int64Array>()), true),
        ("share", number(&|channel| channel.share, 18)?, true),
        ("lower", number(&|channel| channel.lower, 18)?, true),
        ("upper", number(&|channel| channel.upper, 18)?, true),
        ("standard_error", number(&|channel| channel.standard_error, 18)?, true),
        ("conversions", amount(&|at| Some(rows[at].2.conversion_micros))?, true),
        (
            "revenue",
            amount(&|at| rows[at].0.currency.as_ref().map(|_| rows[at].2.value_micros))?,
            true,
        ),
        ("currency", texts(&|at| rows[at].0.currency.clone()), true),
        ("journeys", whole(&|channel| count(channel.journeys)), true),
        ("converted", whole(&|channel| count(channel.converted)), true),
        ("is_low_volume", Arc::new(low), true),
    ])
    .map_err(|error| arrow_fault(error).into())
}

/// The same rows with the fit's version before them.
pub(super) fn named(rows: &RecordBatch, fit_id: &str) -> Result<RecordBatch> {
    let ids: StringArray = (0..rows.num_rows()).map(|_| Some(fit_id)).collect();
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, column)| (field.name().as_str(), Arc::clone(column), true));
    let first = (FIT_ID, Arc::new(ids) as ArrayRef, true);
    RecordBatch::try_from_iter_with_nullable(std::iter::once(first).chain(columns))
        .map_err(|error| arrow_fault(error).into())
}

/// What channels get of a file's paths, by attribution model.
#[derive(Debug, Default)]
pub(super) struct Credited {
    model: Vec<String>,
    order: Vec<Option<i64>>,
    channel: Vec<String>,
    conversions: Vec<f64>,
    value: Vec<f64>,
    details: Vec<Option<ChannelFit>>,
}

impl Credited {
    /// Adds what a heuristic says.
    pub(super) fn heuristic(&mut self, model: &str, channels: &[String], credits: &Credits) {
        for (at, channel) in channels.iter().enumerate() {
            self.model.push(model.to_owned());
            self.order.push(None);
            self.channel.push(channel.clone());
            self.conversions.push(credits.conversions[at]);
            self.value.push(credits.values[at]);
            self.details.push(None);
        }
    }

    /// Adds a fit.
    pub(super) fn fit(&mut self, fit: &clicktrail_attribution::fit::Fit) {
        for channel in &fit.channels {
            self.model.push(fit.model.name().to_owned());
            self.order.push(fit.order.map(|order| order as i64));
            self.channel.push(channel.channel.clone());
            self.conversions.push(channel.conversion_micros as f64 / 1e6);
            self.value.push(channel.value_micros as f64 / 1e6);
            self.details.push(Some(channel.clone()));
        }
    }

    /// The rows.
    pub(super) fn finish(self) -> Result<RecordBatch> {
        let detail = |of: &dyn Fn(&ChannelFit) -> f64| -> ArrayRef {
            let numbers = self.details.iter().map(|fit| fit.as_ref().map(of));
            Arc::new(numbers.collect::<Float64Array>())
        };
        let low = self.details.iter().map(|fit| fit.as_ref().map(|fit| fit.is_low_volume));
        let low: BooleanArray = low.collect();
        let text = |texts: &[String]| Arc::new(StringArray::from_iter_values(texts)) as ArrayRef;
        RecordBatch::try_from_iter_with_nullable([
            ("attribution_model", text(&self.model), true),
            ("markov_order", Arc::new(Int64Array::from(self.order.clone())) as ArrayRef, true),
            ("channel", text(&self.channel), true),
            ("conversions", Arc::new(Float64Array::from(self.conversions.clone())), true),
            ("value", Arc::new(Float64Array::from(self.value.clone())), true),
            ("weight", detail(&|fit| fit.weight), true),
            ("share", detail(&|fit| fit.share), true),
            ("lower", detail(&|fit| fit.lower), true),
            ("upper", detail(&|fit| fit.upper), true),
            ("standard_error", detail(&|fit| fit.standard_error), true),
            ("is_low_volume", Arc::new(low), true),
        ])
        .map_err(|error| arrow_fault(error).into())
    }
}

//! Spend beside credit, in full: what sold nothing stays, and so does what cost nothing `[2.30]`.

use std::collections::BTreeMap;

use super::evidence::usable;
use super::{Attribution, NOT_SET, Settings, Text};
use crate::models::AttributionModel;

/// One row of the seed `ad_spend`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// Days since 1970.
    pub date: i32,
    /// As written.
    pub source: Option<Text>,
    /// As written.
    pub medium: Option<Text>,
    /// As written.
    pub campaign: Option<Text>,
    /// Millionths of a currency unit.
    pub cost_micros: i64,
    /// As written.
    pub currency: Option<Text>,
    /// How often it was clicked.
    pub clicks: i64,
    /// How often it was seen.
    pub impressions: i64,
}

/// Grain of `mart_spend_daily`; names in lower case `[2.10]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpendKey {
    /// Days since 1970.
    pub date: i32,
    /// Who divided.
    pub attribution_model: AttributionModel,
    /// The key event.
    pub event_name: Text,
    /// Source, medium and campaign.
    pub names: [String; 3],
    /// Of spend and value; amounts of two currencies never meet.
    pub currency: Option<String>,
}

/// Measures of `mart_spend_daily`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpendTotals {
    /// Millionths.
    pub cost_micros: i128,
    /// How often it was clicked.
    pub clicks: i64,
    /// How often it was seen.
    pub impressions: i64,
    /// Conversions in millionths.
    pub credit_micros: i64,
    /// Millionths; a missing revenue adds nothing.
    pub revenue_micros: i128,
    /// What refunds took of it.
    pub refunded_micros: i128,
}

/// Holds spend against the credits of an answer. It says nothing of models and key events, so each is held against all of it.
#[must_use]
pub fn spend_daily(
    answer: &Attribution,
    spend: &[Spend],
    settings: &Settings<'_>,
) -> BTreeMap<SpendKey, SpendTotals> {
    let mut daily: BTreeMap<SpendKey, SpendTotals> = BTreeMap::new();
    for credit in &answer.credits {
        let names = [&credit.source, &credit.medium, &credit.campaign];
        let key = SpendKey {
            date: credit.conversion_date,
            attribution_model: credit.attribution_model,
            event_name: credit.event_name.clone(),
            names: names.map(|name| name.to_lowercase()),
            currency: credit.currency.as_deref().map(str::to_owned),
        };
        let totals = daily.entry(key).or_default();
        totals.credit_micros += credit.credit_micros;
        totals.revenue_micros += i128::from(credit.revenue_micros.unwrap_or(0));
        totals.refunded_micros += i128::from(credit.refunded_micros);
    }
    for row in spend {
        let names = [&row.source, &row.medium, &row.campaign];
        let names = names.map(|name| {
            let said = name.as_deref().and_then(usable);
            said.unwrap_or(NOT_SET).to_lowercase()
        });
        let currency = row.currency.as_deref().and_then(usable).map(str::to_uppercase);
        for &attribution_model in &settings.rules.attribution_models {
            for key_event in &settings.key_events {
                let key = SpendKey {
                    date: row.date,
                    attribution_model,
                    event_name: key_event.event_name.clone(),
                    names: names.clone(),
                    currency: currency.clone(),
                };
                let totals = daily.entry(key).or_default();
                totals.cost_micros += i128::from(row.cost_micros);
                totals.clicks += row.clicks;
                totals.impressions += row.impressions;
            }
        }
    }
    daily
}

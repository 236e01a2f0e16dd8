//! Conversions × touches → journeys and credits.

use super::conversions::window_start;
use super::touches::Label;
use super::{
    Conversion, Credit, Evidence, JourneyStep, NO_TOUCH, NOT_SET, Settings, Touch, TouchGrain,
};
use crate::credit::MICROS;
use crate::single_touch::AttributionModel;

/// The touches of a conversion's window in journey order `[2.4, 2.14]`.
///
/// `touches` are the person's, in total order.
pub(super) fn journey<'a>(
    conversion: &Conversion,
    session_started_at: Option<i64>,
    touches: &'a [Touch],
    grain: TouchGrain,
) -> Vec<&'a Touch> {
    let start = window_start(conversion.position.timestamp, conversion.lookback_days);
    let from = touches.partition_point(|touch| touch.position.timestamp < start);
    match grain {
        TouchGrain::Click => {
            let to = touches.partition_point(|touch| touch.position <= conversion.position);
            touches.get(from..to).unwrap_or_default().iter().collect()
        }
        TouchGrain::Session => {
            let Some(own_start) = session_started_at else { return Vec::new() };
            let to = touches.partition_point(|touch| touch.position.timestamp <= own_start);
            let is_own =
                |touch: &&Touch| Some(&touch.session_key) == conversion.session_key.as_ref();
            let others = touches.get(from..to).unwrap_or_default().iter();
            let others = others.filter(|touch| !is_own(touch));
            // The own session may begin before the window; it is in nevertheless, and last.
            others.chain(touches[..to].iter().find(is_own)).collect()
        }
    }
}

/// The rows of one journey.
pub(super) fn steps<'a>(
    conversion: &'a Conversion,
    journey: &'a [&Touch],
) -> impl Iterator<Item = JourneyStep> + 'a {
    let touches = u32::try_from(journey.len()).unwrap_or(u32::MAX);
    (1..).zip(journey).map(move |(position, touch)| JourneyStep {
        conversion_id: conversion.conversion_id.clone(),
        touch_id: touch.touch_id.clone(),
        person_key: conversion.person_key.clone(),
        position,
        touches,
        seconds_before: (conversion.position.timestamp - touch.position.timestamp) / MICROS,
    })
}

/// One credit per attribution model; none when the conversion does not count.
///
/// `evidence` is that of the conversion's own event, which speaks for it when nothing else can.
pub(super) fn credits(
    conversion: &Conversion,
    journey: &[&Touch],
    evidence: Option<&Evidence>,
    settings: &Settings<'_>,
) -> Vec<Credit> {
    if !conversion.is_counted {
        return Vec::new();
    }
    let is_direct: Vec<bool> = journey.iter().map(|touch| touch.is_direct).collect();
    let credit = |model: AttributionModel| match model.credited(&is_direct) {
        Some(credited) => touch_credit(conversion, model, journey[credited]),
        None => untouched_credit(conversion, model, evidence, settings),
    };
    AttributionModel::ALL.map(credit).into()
}

fn touch_credit(conversion: &Conversion, model: AttributionModel, touch: &Touch) -> Credit {
    let label = Label {
        source: touch.source.clone(),
        medium: touch.medium.clone(),
        campaign: touch.campaign.clone(),
        channel: touch.channel.clone(),
        is_direct: touch.is_direct,
    };
    Credit { touch_id: Some(touch.touch_id.clone()), ..labelled(conversion, model, label) }
}

/// Without any touch: own evidence when there is no user `[2.24]`, else Direct when there is a
/// session `[2.11]`, else nobody.
fn untouched_credit(
    conversion: &Conversion,
    model: AttributionModel,
    evidence: Option<&Evidence>,
    settings: &Settings<'_>,
) -> Credit {
    let own = evidence.filter(|_| conversion.user_pseudo_id.is_none());
    let label = if let Some(evidence) = own {
        Label::of(evidence, settings)
    } else if conversion.session_key.is_some() {
        Label::direct()
    } else {
        let missing = || NOT_SET.into();
        Label {
            source: missing(),
            medium: missing(),
            campaign: missing(),
            channel: NO_TOUCH.into(),
            is_direct: false,
        }
    };
    labelled(conversion, model, label)
}

/// The whole conversion under one label.
fn labelled(conversion: &Conversion, model: AttributionModel, label: Label) -> Credit {
    Credit {
        conversion_id: conversion.conversion_id.clone(),
        touch_id: None,
        attribution_model: model,
        credit_micros: MICROS,
        revenue_micros: conversion.revenue_micros,
        currency: conversion.currency.clone(),
        conversion_date: conversion.conversion_date,
        event_name: conversion.event_name.clone(),
        source: label.source,
        medium: label.medium,
        campaign: label.campaign,
        channel: label.channel,
        lookback_complete: conversion.lookback_complete,
    }
}

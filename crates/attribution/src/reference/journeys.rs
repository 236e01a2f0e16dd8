//! Conversions × touches → journeys and credits.

use super::conversions::window_start;
use super::touches::Label;
use super::{
    Conversion, Credit, Event, Evidence, JourneyStep, NO_TOUCH, NOT_SET, Position, Settings, Touch,
    TouchGrain,
};
use crate::credit::{MICROS, split_revenue};
use crate::models::{AttributionModel, Step};

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

/// Where the first milestone event in the window of a conversion stands; `events` are the person's, in order.
pub(super) fn milestone(
    conversion: &Conversion,
    events: &[&Event],
    settings: &Settings<'_>,
) -> Option<Position> {
    let start = window_start(conversion.position.timestamp, conversion.lookback_days);
    let names = &settings.rules.milestone_events;
    let is_milestone = |event: &&&Event| {
        event.event_timestamp >= start && names.iter().any(|name| **name == *event.event_name)
    };
    let first = events.iter().find(is_milestone)?.position();
    (first <= conversion.position).then_some(first)
}

/// The rows of one journey.
pub(super) fn steps(
    conversion: &Conversion,
    journey: &[&Touch],
    milestone: Option<&Position>,
) -> Vec<JourneyStep> {
    let touches = u32::try_from(journey.len()).unwrap_or(u32::MAX);
    let step = |(position, touch): (u32, &&Touch)| JourneyStep {
        conversion_id: conversion.conversion_id.clone(),
        touch_id: touch.touch_id.clone(),
        person_key: conversion.person_key.clone(),
        position,
        touches,
        seconds_before: (conversion.position.timestamp - touch.position.timestamp) / MICROS,
        is_before_milestone: milestone.is_some_and(|milestone| touch.position <= *milestone),
        channel: touch.channel.clone(),
    };
    (1..).zip(journey).map(step).collect()
}

/// What decides about a conversion without any touch.
pub(super) struct Untouched<'a> {
    /// That of the conversion's own event, which speaks for it when nothing else can.
    pub(super) evidence: Option<&'a Evidence>,
    /// What its journey would be of the touches of excluded channels alone.
    pub(super) left_out: &'a [Touch],
}

/// Who gets how much by each attribution model; nobody when the conversion does not count.
pub(super) fn credits(
    conversion: &Conversion,
    journey: &[&Touch],
    steps: &[JourneyStep],
    alone: &Untouched<'_>,
    settings: &Settings<'_>,
) -> Vec<Credit> {
    if !conversion.is_counted {
        return Vec::new();
    }
    let rules = &settings.rules;
    let path: Vec<Step> = journey
        .iter()
        .zip(steps)
        .map(|(touch, step)| Step {
            is_direct: touch.is_direct,
            is_paid: rules.paid_channels.iter().any(|channel| **channel == *touch.channel),
            is_before_milestone: step.is_before_milestone,
            seconds_before: step.seconds_before,
        })
        .collect();
    let mut credits = Vec::new();
    for &model in &rules.attribution_models {
        if journey.is_empty() {
            credits.push(untouched_credit(conversion, model, alone, settings));
            continue;
        }
        let shares = model.credits(&path, rules);
        let revenue = conversion.revenue_micros.and_then(|all| split_revenue(all, &shares).ok());
        for (place, &credit_micros) in shares.iter().enumerate().filter(|(_, share)| **share > 0) {
            let whole = touch_credit(conversion, model, journey[place]);
            credits.push(Credit {
                position: Some(steps[place].position),
                credit_micros,
                revenue_micros: revenue.as_ref().map(|shares| shares[place]),
                ..whole
            });
        }
    }
    credits
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

/// Without any touch: own evidence when there is no user `[2.24]`, else Direct when there is a session that
/// no excluded click led to `[2.11]`, else nobody.
fn untouched_credit(
    conversion: &Conversion,
    model: AttributionModel,
    alone: &Untouched<'_>,
    settings: &Settings<'_>,
) -> Credit {
    let own = alone.evidence.filter(|_| conversion.user_pseudo_id.is_none());
    let of_session = |touch: &&Touch| Some(&touch.session_key) == conversion.session_key.as_ref();
    let is_direct = alone.left_out.iter().filter(of_session).all(|touch| touch.is_direct);
    let label = if let Some(evidence) = own {
        Label::of(evidence, settings)
    } else if conversion.session_key.is_some() && is_direct {
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
        position: None,
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
        refunded_micros: 0,
    }
}

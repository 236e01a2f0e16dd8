//! What holds for all events: conservation, order independence, idempotence, precedence.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::credit::MICROS;
use crate::models::{AttributionModel, Rules};

fn some_fields() -> impl Strategy<Value = SourceFields> {
    const TRIPLES: &[&str] =
        &["-/-/-", "-/-/x", "(direct)/(none)/-", "news/email/x", "google/cpc/-", "News/Email/x"];
    select(TRIPLES).prop_map(fields)
}

fn some_evidence() -> impl Strategy<Value = Option<Evidence>> {
    let click_id = option::weighted(0.2, select(&["G1", "G2"][..]).prop_map(text));
    let evidence = (1_u8..=5, some_fields(), click_id);
    option::weighted(
        0.5,
        evidence.prop_map(|(class, fields, click_id)| Evidence { class, fields, click_id }),
    )
}

/// Few values in each column, so that ties, copies and repeats are common.
fn some_event() -> impl Strategy<Value = Event> {
    let who = (option::weighted(0.9, select(&["u", "v"][..])), option::of(select(&["web"][..])));
    let at = (0_i64..40, select(&[SECOND, 20 * MINUTE, DAY, 40 * DAY][..]));
    let batch = (0_i64..3, 0_i64..3, 0_i64..3);
    let names = select(&["page_view", "scroll", "purchase", "sign_up", "session_start"][..]);
    let session = (option::weighted(0.7, 1_i64..4), option::of(1_i64..3));
    let page = option::of(select(&["/a", "/b?utm_source=x"][..]));
    let sources = (some_evidence(), some_fields(), some_fields(), some_fields());
    let order = (option::of(select(&["T1", "T2"][..])), option::of(-5_000_000_i64..5_000_000));
    let row = (who, at, batch, names, session, page, sources, order, 0_u32..1000);
    row.prop_map(|(who, at, batch, name, session, page, sources, order, key)| {
        // The key is a function of the key columns, as in the export.
        let columns = format!("{who:?}{at:?}{batch:?}{name}{session:?}{page:?}{}", key % 3);
        let event_key = text(&md5_hex(&columns));
        let user_pseudo_id = who.0.map(text);
        Event {
            person_key: user_pseudo_id
                .clone()
                .unwrap_or_else(|| text(&format!("event:{event_key}"))),
            event_key,
            event_timestamp: START + at.0 * at.1,
            batch_page_id: batch.0,
            batch_ordering_id: batch.1,
            batch_event_index: batch.2,
            event_name: text(name),
            user_pseudo_id,
            stream_id: who.1.map(text),
            ga_session_id: session.0,
            session_number: session.1,
            page_location: page.map(text),
            evidence: sources.0,
            params: sources.1,
            first_user: sources.2,
            last_click: sources.3,
            referrer_dropped: (key % 3 == 0).then(|| text("excluded")),
            transaction_id: order.0.map(text),
            revenue_micros: order.1,
            currency: order.1.map(|_| text("EUR")),
            ..Event::default()
        }
    })
}

fn some_settings() -> impl Strategy<Value = Settings<'static>> {
    let grain = select(&[TouchGrain::Click, TouchGrain::Session][..]);
    let scope = select(&[OrderDedupeScope::Device, OrderDedupeScope::Property][..]);
    let excluded = vec(select(&["Email", DIRECT, "Paid Search"][..]).prop_map(text), 0..2);
    let weights = (prop::array::uniform3(0_u64..100), prop::array::uniform4(0_u64..100));
    let half_life = 1_i64..100 * 86_400;
    let row = (grain, scope, excluded, 0_u32..100, weights, half_life);
    row.prop_map(|(grain, scope, excluded, days, weights, half_life_seconds)| {
        let mut settings = settings();
        settings.touch_grain = grain;
        settings.order_dedupe_scope = scope;
        settings.excluded_channels = excluded;
        settings.rules = Rules {
            half_life_seconds,
            position_weights: weights.0,
            w_weights: weights.1,
            ..Rules::default()
        };
        settings.key_events[0].lookback_days = days;
        settings
    })
}

fn check_conservation(answer: &Attribution) -> Result<(), TestCaseError> {
    for model in AttributionModel::ALL {
        let mut sums: HashMap<&Text, (i64, i128)> = HashMap::new();
        for credit in answer.credits.iter().filter(|c| c.attribution_model == model) {
            let sum = sums.entry(&credit.conversion_id).or_default();
            sum.0 += credit.credit_micros;
            sum.1 += i128::from(credit.revenue_micros.unwrap_or(0));
        }
        let counted = answer.conversions.iter().filter(|c| c.is_counted);
        prop_assert_eq!(sums.len(), counted.clone().count());
        let mut totals = (0_i64, 0_i128);
        for conversion in counted {
            let revenue = i128::from(conversion.revenue_micros.unwrap_or(0));
            prop_assert_eq!(sums.get(&conversion.conversion_id), Some(&(MICROS, revenue)));
            totals = (totals.0 + MICROS, totals.1 + revenue);
        }
        let daily = answer.daily.iter().filter(|(key, _)| key.attribution_model == model);
        let add = |sum: (i64, i128), (_, day): (_, &DailyTotals)| {
            (sum.0 + day.credit_micros, sum.1 + day.revenue_micros)
        };
        prop_assert_eq!(daily.fold((0, 0), add), totals);
    }
    Ok(())
}

fn check_precedence(
    answer: &Attribution,
    grain: TouchGrain,
    has_excluded: bool,
) -> Result<(), TestCaseError> {
    let touches: HashMap<_, _> = answer.touches.iter().map(|t| (&t.touch_id, t)).collect();
    let conversions: HashMap<_, _> =
        answer.conversions.iter().map(|c| (&c.conversion_id, c)).collect();
    prop_assert_eq!(touches.len(), answer.touches.len());
    prop_assert_eq!(conversions.len(), answer.conversions.len());
    for step in &answer.journeys {
        let conversion = conversions[&step.conversion_id];
        // A session that shows an excluded channel later is no touch of the person, and one of the conversion.
        let Some(touch) = touches.get(&step.touch_id) else {
            prop_assert!(has_excluded && grain == TouchGrain::Session);
            continue;
        };
        let in_order = match grain {
            TouchGrain::Click => touch.position <= conversion.position,
            TouchGrain::Session => touch.position.timestamp <= conversion.position.timestamp,
        };
        prop_assert!(in_order);
        prop_assert_eq!(&touch.person_key, &conversion.person_key);
        let is_own = Some(&touch.session_key) == conversion.session_key.as_ref();
        let age = conversion.position.timestamp - touch.position.timestamp;
        let in_window = age <= i64::from(conversion.lookback_days) * DAY;
        prop_assert!(in_window || (is_own && grain == TouchGrain::Session));
        if is_own && grain == TouchGrain::Session {
            prop_assert_eq!(step.position, step.touches);
        }
    }
    let credited =
        answer.credits.iter().filter_map(|c| Some((&c.conversion_id, c.touch_id.as_ref()?)));
    let steps: Vec<_> = answer.journeys.iter().map(|s| (&s.conversion_id, &s.touch_id)).collect();
    for credit in credited {
        prop_assert!(steps.contains(&credit));
    }
    Ok(())
}

proptest! {
    /// [2.4, 2.11] Credits and revenue of every model sum to the counted conversions; no touch
    /// follows its conversion.
    #[test]
    fn every_model_conserves(events in vec(some_event(), 0..60), settings in some_settings()) {
        let answer = fold(&events, &settings);
        check_conservation(&answer)?;
        check_precedence(&answer, settings.touch_grain, !settings.excluded_channels.is_empty())?;
        if settings.excluded_channels.is_empty() {
            let is_return = |session: &Session| {
                let mut first = events.iter().filter(|event| {
                    event.person_key == session.person_key
                        && event.event_timestamp == session.started.timestamp
                });
                first.any(|event| event.referrer_dropped.is_some())
            };
            for session in answer.sessions.iter().filter(|session| !is_return(session)) {
                prop_assert!(answer.touches.iter().any(|touch| touch.position == session.started));
            }
        }
    }

    /// [2.5] The order of rows says nothing.
    #[test]
    fn order_of_rows_says_nothing(
        (events, turned) in vec(some_event(), 0..60)
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        settings in some_settings(),
    ) {
        prop_assert_eq!(fold(&events, &settings), fold(&turned, &settings));
    }

    /// [2.19] Copies change nothing but their count.
    #[test]
    fn copies_change_only_their_count(
        events in vec(some_event(), 1..40),
        again in vec(any::<Index>(), 1..10),
        settings in some_settings(),
    ) {
        let once = fold(&events, &settings);
        let mut repeated = events.clone();
        repeated.extend(again.iter().map(|index| index.get(&events).clone()));
        let mut twice = fold(&repeated, &settings);
        prop_assert_ne!(&twice.copies, &once.copies);
        twice.copies.clone_from(&once.copies);
        prop_assert_eq!(twice, once);
    }
}

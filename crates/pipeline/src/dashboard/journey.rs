//! Journey: why one conversion was credited as it was, touch by touch.

use serde_json::{Map, Value, json};

use super::lists::events;
use super::page::{Answer, Page, PageFault};
use super::rows::{Row, micros, text, whole};
use super::words;
use crate::catalog::literal;
use crate::clock::rfc3339;

const DAY: i64 = 86_400_000_000;
/// Events that are listed.
const EVENTS: usize = 200;
/// What is shown of them, as far as it is there.
const EVENT_COLUMNS: [&str; 8] = [
    "event_key",
    "event_name",
    "event_timestamp",
    "page_location",
    "page_referrer",
    "page_title",
    "evidence_class",
    "ga_session_id",
];

struct Found {
    conversion: Row,
    touches: Vec<Row>,
    journey: Vec<Row>,
    credits: Vec<Row>,
    /// The person's events in the window, the youngest first; one more than are listed, when there are more.
    events: Vec<Row>,
    /// The person's other conversions.
    others: Vec<Row>,
}

/// Touches kept and dropped, the rule for each, credit under each model, one plain sentence.
pub(super) fn explain(page: Page<'_>, id: &str) -> Answer<Value> {
    let found = find(&page, id)?;
    let conversion = &found.conversion;
    let key = text(conversion, "conversion_id").to_owned();
    let lookback = whole(conversion, "lookback_days");
    let converted_at = whole(conversion, "converted_at");
    let counted = conversion["is_counted"] == true;
    let models = &page.bounds.models_of(text(conversion, "event_name"));
    let touches: Vec<Value> =
        found.touches.iter().map(|touch| told_touch(&found, touch, models)).collect();
    let sentences: Map<String, Value> =
        models.iter().map(|model| (model.clone(), sentence(&found, model).into())).collect();
    let credits: Vec<Value> = found
        .credits
        .iter()
        .map(|row| {
            let model = text(row, "attribution_model");
            json!({ "model": model, "text": words::model(model).0, "channel": row["channel"], "source": row["source"],
                "medium": row["medium"], "campaign": row["campaign"], "touch_id": row["touch_id"],
                "credit": row["credit"], "revenue": row["revenue"] })
        })
        .collect();
    let (rows, more) = source_rows(&found);
    let neighbours = neighbours(&found);
    let duplicate_of = duplicate_of(&page, conversion)?;
    let because = if counted {
        Value::Null
    } else if conversion["is_duplicate"] == true {
        "an earlier order of the same person has this transaction id [2.20]".into()
    } else {
        "a purchase without transaction id and without revenue".into()
    };
    let node = page.workspace.project.manifest.model("fct_credits");
    let data = json!({
        "conversion": { "id": key, "name": conversion["event_name"], "at": rfc3339(converted_at),
            "date": conversion["conversion_date"], "event_key": conversion["event_key"],
            "transaction_id": conversion["transaction_id"], "revenue": conversion["revenue"],
            "currency": conversion["currency"], "person": conversion["person_key"],
            "session_key": conversion["session_key"], "is_counted": counted, "not_counted_because": because,
            "lookback_complete": conversion["lookback_complete"], "duplicate_of": duplicate_of },
        "lookback_days": lookback,
        "window": { "from": rfc3339(converted_at - lookback * DAY), "to": rfc3339(converted_at) },
        "models": models, "touches": touches, "without_touch": without_touch(&found), "credits": credits,
        "events": rows, "events_more": more, "events_note": super::lists::without_events(&page), "neighbours": neighbours,
        "sentence": sentences[page.keys.model()], "sentences": sentences,
        "sql": { "model": "fct_credits", "path": node.map(|node| node.original_file_path.clone()),
            "query": format!("select * from fct_credits where conversion_id = {}", literal(&key)) },
    });
    page.finish_with(data, Value::Null, Value::Null, Value::Null)
}

fn find(page: &Page<'_>, id: &str) -> Answer<Found> {
    let id = literal(id);
    let conversion = page
        .ask(
            "explain.conversion",
            &format!(
                "select * from int_conversions where conversion_id = {id} or event_key = {id} or transaction_id = {id} \
                 order by conversion_id <> {id}, is_counted desc, converted_at limit 1"
            ),
        )?
        .into_iter()
        .next()
        .ok_or_else(|| PageFault::NotFound(format!("no conversion has the id {id}")))?;
    let (key, person) =
        (literal(text(&conversion, "conversion_id")), literal(text(&conversion, "person_key")));
    let at = whole(&conversion, "converted_at");
    let mut asked = vec![
        ("explain.touches", touches_sql(page, &person, &key)),
        (
            "explain.journey",
            format!(
                "select * from int_journeys where person_key = {person} and conversion_id = {key} order by position"
            ),
        ),
        (
            "explain.credits",
            format!(
                "select attribution_model, touch_id, channel, source, medium, campaign, revenue, currency, \
                 cast(cast(credit_micros as decimal(30, 0)) * cast('0.000001' as decimal(7, 6)) as decimal(30, 6)) as credit \
                 from fct_credits where person_key = {person} and conversion_id = {key} order by attribution_model"
            ),
        ),
        (
            "explain.neighbours",
            format!(
                "select conversion_id, converted_at, event_name from int_conversions where person_key = {person} \
                 and converted_at <> {at} order by converted_at"
            ),
        ),
    ];
    if let Some(sql) = events_sql(page, &conversion)? {
        asked.push(("explain.events", sql));
    }
    let mut found = page.ask_all(&asked)?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let (touches, journey, credits, others, events) = (next(), next(), next(), next(), next());
    Ok(Found { conversion, touches, journey, credits, events, others })
}

/// The person's touches, and those of the journey that are of the user's other devices [2.26].
fn touches_sql(page: &Page<'_>, person: &str, key: &str) -> String {
    let own = format!("select * from int_touchpoints where person_key = {person}");
    // With one device the key alone finds the rows.
    if page.workspace.vars().get("identity").is_none_or(|mode| mode == "device") {
        return format!("{own} order by touch_number");
    }
    format!(
        "{own} union all select touches.* from int_touchpoints as touches inner join int_journeys as journeys \
         on touches.touch_id = journeys.touch_id where journeys.person_key = {person} \
         and journeys.conversion_id = {key} and touches.person_key <> {person} \
         order by touched_at, batch_page_id, batch_ordering_id, batch_event_index, event_key"
    )
}

/// The person's events in the window: only columns that are shown, as there may be many events to look through.
fn events_sql(page: &Page<'_>, conversion: &Row) -> Answer<Option<String>> {
    let from = events(page);
    if !page.reader.tables.contains(from) {
        return Ok(None);
    }
    let (schema, _) = page.reader.session.query(&format!("select * from {from} limit 0"))?;
    let columns: Vec<&str> =
        EVENT_COLUMNS.into_iter().filter(|name| schema.field_with_name(name).is_ok()).collect();
    let at = whole(conversion, "converted_at");
    Ok(Some(format!(
        "select {} from {from} where person_key = {} and event_timestamp between {} and {at} \
         order by event_timestamp desc, batch_page_id desc, batch_ordering_id desc, batch_event_index desc, event_key desc limit {}",
        columns.join(", "),
        literal(text(conversion, "person_key")),
        at - whole(conversion, "lookback_days") * DAY,
        EVENTS + 1,
    )))
}

/// A touch, whether it counts, and why.
fn told_touch(found: &Found, touch: &Row, models: &[String]) -> Value {
    let id = text(touch, "touch_id");
    let step = found.journey.iter().find(|step| text(step, "touch_id") == id);
    let seconds = (whole(&found.conversion, "converted_at") - whole(touch, "touched_at"))
        .div_euclid(1_000_000);
    let (code, why, section) = reason(found, touch, step, seconds);
    let credit: Map<String, Value> = models
        .iter()
        .map(|model| {
            let share = found
                .credits
                .iter()
                .find(|row| text(row, "attribution_model") == model && text(row, "touch_id") == id)
                .map_or("0".into(), |row| row["credit"].clone());
            (model.clone(), share)
        })
        .collect();
    let rule = text(touch, "channel_rule");
    let is_direct = touch["is_direct"] == true;
    let (evidence, evidence_text) = words::evidence(touch["evidence_class"].as_i64(), is_direct);
    json!({ "pos": step.map(|step| &step["position"]), "number": touch["touch_number"], "id": id,
        "at": rfc3339(whole(touch, "touched_at")), "channel": touch["channel"], "source": touch["source"],
        "medium": touch["medium"], "campaign": touch["campaign"], "click_id": touch["click_id"], "rule": rule,
        "rule_text": words::rule(rule), "is_direct": is_direct, "evidence": evidence, "evidence_text": evidence_text,
        "in": step.is_some(), "why": why, "why_code": code, "semantics": section, "days_before": seconds.div_euclid(86_400),
        "seconds_before": seconds, "credit": credit, "event_key": touch["evidence_event_key"],
        "session_key": touch["session_key"] })
}

fn reason(
    found: &Found,
    touch: &Row,
    step: Option<&Row>,
    seconds: i64,
) -> (&'static str, String, &'static str) {
    let lookback = whole(&found.conversion, "lookback_days");
    let Some(_) = step else {
        let (at, converted_at) =
            (whole(touch, "touched_at"), whole(&found.conversion, "converted_at"));
        if at < converted_at - lookback * DAY {
            let text = format!(
                "{} before the conversion; the lookback window is {lookback} days",
                words::span(seconds)
            );
            return ("before_window", text, "2.14");
        }
        if found.conversion["is_counted"] != true && at <= converted_at {
            return (
                "not_counted",
                "this conversion is not counted, so it has no journey".into(),
                "2.20",
            );
        }
        let text = match at > converted_at {
            true => format!("{} after the conversion", words::span(seconds)),
            false => "at the time of the conversion, and after it in the order of events".into(),
        };
        return ("after_conversion", text, "2.4");
    };
    let credited = |model: &str| {
        let id = text(touch, "touch_id");
        found.credits.iter().any(|row| {
            text(row, "attribution_model") == model
                && text(row, "touch_id") == id
                && row["credit"] != "0"
        })
    };
    let is_direct = touch["is_direct"] == true;
    let only_direct = found.journey.iter().all(|step| step["is_direct"] == true);
    if is_direct && !only_direct {
        return (
            "direct_ignored",
            "Direct is skipped by the click models: the window holds a touch that is known".into(),
            "2.6",
        );
    }
    let what =
        if is_direct { "Direct touch; nothing else is known" } else { "touch that is not Direct" };
    match (credited("first_click"), credited("last_click")) {
        (true, true) => ("both_clicks", format!("the only {what}: first and last at once"), "2.6"),
        (true, false) => ("first_click", format!("the first {what}"), "2.6"),
        (false, true) => ("last_click", format!("the last {what}"), "2.6"),
        (false, false) if is_direct => {
            ("direct_only", "between the first and the last Direct touch".into(), "2.6")
        }
        (false, false) => {
            let text = "between the first and the last: no credit under first and last click";
            ("middle", text.into(), "2.6")
        }
    }
}

/// Why a counted conversion has no touch.
fn without_touch(found: &Found) -> Value {
    let Some(credit) = found.credits.first().filter(|_| found.journey.is_empty()) else {
        return Value::Null;
    };
    let no_touch = text(credit, "channel") == "(no touch)";
    let (reason, text, section) = if no_touch && !found.conversion["session_key"].is_null() {
        ("excluded", "the channels that led to it are left out (var excluded_channels)", "2.11")
    } else if no_touch {
        ("nothing", "the event has no session and says nothing about where it came from", "2.11")
    } else if text(credit, "channel") == "Direct" {
        ("direct", "its session exists and shows no touch, so it is Direct", "2.11")
    } else {
        ("evidence", "nobody is known by consent, so the event's own evidence is credited", "2.24")
    };
    json!({ "reason": reason, "text": text, "semantics": section })
}

/// One plain sentence, ready to paste.
fn sentence(found: &Found, model: &str) -> String {
    let (name, what) = (words::model(model).0, text(&found.conversion, "event_name"));
    let own: Vec<&Row> = found
        .credits
        .iter()
        .filter(|row| text(row, "attribution_model") == model && row["credit"] != "0")
        .collect();
    let credit = match own.as_slice() {
        [] => return format!("This {what} is not counted, so no touch has credit for it."),
        [one] => *one,
        several => return shared(found, &name, several),
    };
    let channel = text(credit, "channel");
    let Some(touch) = found.touches.iter().find(|touch| touch["touch_id"] == credit["touch_id"])
    else {
        return match without_touch(found)["text"].as_str() {
            Some(why) => format!("{name} credits {channel}: {why}."),
            None => format!("{name} credits {channel}."),
        };
    };
    let seconds =
        (whole(&found.conversion, "converted_at") - whole(touch, "touched_at")) / 1_000_000;
    let known = ["first_click", "last_click", "first_touch", "last_touch"].contains(&model);
    let place = match known {
        _ if found.journey.len() == 1 => "only",
        true if model.starts_with("first") => "first",
        true => "most recent",
        false => "chosen",
    };
    let kind = match (model.ends_with("_click"), touch["is_direct"] == true) {
        _ if !known || found.journey.len() == 1 => "touch in the window",
        (true, false) => "touch that is not Direct",
        (true, true) => "touch, as the window holds nothing but Direct",
        (false, _) => "touch",
    };
    let when = match seconds {
        0 => format!("at the same second as the {what}"),
        _ => format!("{} before the {what}", words::span(seconds)),
    };
    format!(
        "{name} credits {channel} ({} / {}): the {place} {kind}, {when}.",
        text(touch, "source"),
        text(touch, "medium")
    )
}

/// The sentence of a model that divides a conversion among several touches: shares by channel, the largest first.
fn shared(found: &Found, name: &str, credits: &[&Row]) -> String {
    let mut shares: Vec<(&str, i128)> = Vec::new();
    for row in credits {
        let (channel, credit) = (text(row, "channel"), micros(&row["credit"]));
        match shares.iter_mut().find(|(known, _)| *known == channel) {
            Some((_, sum)) => *sum += credit,
            None => shares.push((channel, credit)),
        }
    }
    shares.sort_by_key(|(channel, sum)| (-sum, *channel));
    let told: Vec<String> = shares
        .iter()
        .map(|(channel, sum)| format!("{channel} {:.1} %", *sum as f64 / 10_000.0))
        .collect();
    format!(
        "{name} divides this {} among {} touches: {}.",
        text(&found.conversion, "event_name"),
        credits.len(),
        told.join(", ")
    )
}

/// The person's events in the window, the oldest first, and whether there are more.
fn source_rows(found: &Found) -> (Vec<Value>, usize) {
    let conversion = &found.conversion;
    let listed = &found.events[..found.events.len().min(EVENTS)];
    let told = listed
        .iter()
        .rev()
        .map(|row| {
            let key = text(row, "event_key");
            let touch = found.touches.iter().find(|touch| text(touch, "evidence_event_key") == key);
            let column = |name: &str| row.get(name).cloned().unwrap_or_default();
            json!({ "key": key, "name": column("event_name"), "at": rfc3339(whole(row, "event_timestamp")),
                "page": column("page_location"), "referrer": column("page_referrer"), "title": column("page_title"),
                "evidence": row.get("evidence_class").and_then(Value::as_i64).map(|class| words::evidence(Some(class), false).0),
                "session_id": column("ga_session_id"), "is_conversion": key == text(conversion, "event_key"),
                "touch_number": touch.map(|touch| &touch["touch_number"]) })
        })
        .collect();
    (told, found.events.len() - listed.len())
}

fn neighbours(found: &Found) -> Value {
    let at = whole(&found.conversion, "converted_at");
    let id = |row: Option<&Row>| row.map(|row| row["conversion_id"].clone());
    json!({
        "previous": id(found.others.iter().rfind(|row| whole(row, "converted_at") < at)),
        "next": id(found.others.iter().find(|row| whole(row, "converted_at") > at)),
    })
}

fn duplicate_of(page: &Page<'_>, conversion: &Row) -> Answer<Value> {
    if conversion["is_duplicate"] != true {
        return Ok(Value::Null);
    }
    let sql = format!(
        "select conversion_id from int_conversions where transaction_id = {} and event_name = {} and not is_duplicate \
         order by person_key <> {}, converted_at limit 1",
        literal(text(conversion, "transaction_id")),
        literal(text(conversion, "event_name")),
        literal(text(conversion, "person_key")),
    );
    let rows = page.ask("explain.duplicate_of", &sql)?;
    Ok(rows.first().map(|row| row["conversion_id"].clone()).unwrap_or_default())
}

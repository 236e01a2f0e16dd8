//! Lists behind numbers: conversions, values of a dimension, one event.

use clicktrail_project::Adapter;
use serde_json::{Map, Value, json};

use super::conditions::conversions;
use super::keys::{DIMENSIONS, PERSON_DIMENSIONS};
use super::page::{Answer, Page, PageFault, pair};
use super::paths::{JOURNEYS, steps};
use super::rows::{Row, amounts, text, whole};
use crate::catalog::literal;
use crate::clock::rfc3339;

/// Values of a dimension that are offered.
const VALUES: usize = 100;

/// The conversions behind a number, newest first.
pub(super) fn list(page: Page<'_>) -> Answer<Value> {
    let keys = &page.keys;
    let (steps, by, model) = (steps(&page), &keys.by, keys.model());
    let opened = keys.models.first().map_or(model, String::as_str);
    let mut wanted = String::new();
    for (value, of) in [(&keys.opened, opened), (&keys.closed, model)] {
        if let Some(value) = value {
            wanted += &credited(of, by, value);
            wanted += &page.kept("c.", of);
        }
    }
    if let Some(channel) = &keys.channel {
        wanted += &credited(model, "channel", channel);
    }
    if let Some(path) = &keys.path {
        let names: Vec<String> = path.iter().map(|name| literal(name)).collect();
        wanted += &match path.as_slice() {
            [none] if none.is_empty() || none == "(no touch)" => {
                " and journeys.length = 0".to_owned()
            }
            _ => format!(" and journeys.steps = make_array({})", names.join(", ")),
        };
    }
    for (value, bucket, last) in [
        (keys.length, "journeys.length", 10),
        (keys.lag, "cast(floor(journeys.seconds / 86400) as bigint)", 90),
    ] {
        if let Some(value) = value {
            wanted += &format!(" and {bucket} {} {value}", if value >= last { ">=" } else { "=" });
        }
    }
    if let Some(day) = keys.day {
        wanted += &format!(" and c.conversion_date = date '{day}'");
    }
    if let Some(q) = &keys.q {
        let q = literal(&q.to_lowercase());
        wanted += &format!(
            " and (strpos(lower(c.conversion_id), {q}) > 0 or strpos(lower(coalesce(c.transaction_id, '')), {q}) > 0 \
             or strpos(lower(c.person_key), {q}) > 0)"
        );
    }
    let from = format!(
        "{steps}, {JOURNEYS} select {{}} from journeys inner join int_conversions as c \
         on journeys.conversion_id = c.conversion_id where true{wanted}"
    );
    let revenue = page.revenue("c.");
    let sums =
        format!("{} as conversions, sum({revenue}) as revenue", conversions("journeys.credit"));
    let totals = page.ask("conversions.total", &from.replace("{}", &sums))?;
    let columns = "c.conversion_id, c.event_name, c.converted_at, c.conversion_date, c.transaction_id, c.revenue, c.currency, \
         c.person_key, c.lookback_complete, journeys.length";
    let after = match &keys.after {
        Some((at, id)) => format!(
            " and (c.converted_at < {at} or c.converted_at = {at} and c.conversion_id < {})",
            literal(id)
        ),
        None => String::new(),
    };
    let sql = format!(
        "{}{after} order by c.converted_at desc, c.conversion_id desc limit {}",
        from.replace("{}", columns),
        keys.limit + 1
    );
    let mut rows = page.ask("conversions.list", &sql)?;
    let more = rows.len() > keys.limit;
    rows.truncate(keys.limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|row| format!("{}.{}", whole(row, "converted_at"), text(row, "conversion_id")));
    let credits = credits_of(&page, &rows)?;
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let id = text(row, "conversion_id");
            json!({ "id": id, "name": row["event_name"], "at": rfc3339(whole(row, "converted_at")),
                "date": row["conversion_date"], "transaction_id": row["transaction_id"], "revenue": row["revenue"],
                "currency": row["currency"], "person": row["person_key"], "touches": row["length"],
                "lookback_complete": row["lookback_complete"], "credits": credits.get(id) })
        })
        .collect();
    let totals = amounts(totals.first(), &["conversions", "revenue"]);
    let data = json!({ "rows": rows, "next": next, "sql_id": "conversions.list" });
    let left_out = match page.kept("", page.keys.model()).is_empty() {
        true => pair(None, "left_out"),
        false => pair(page.totals()?.first(), "left_out"),
    };
    page.finish_with(data, totals, Value::Null, left_out)
}

fn credited(model: &str, by: &str, value: &str) -> String {
    format!(
        " and c.conversion_id in (select conversion_id from fct_credits where attribution_model = {} and {by} = {} and credit_micros <> 0)",
        literal(model),
        literal(value)
    )
}

/// Who is credited with some conversions, by conversion and model: the largest share, and how many others there are.
fn credits_of(page: &Page<'_>, rows: &[Row]) -> Answer<Map<String, Value>> {
    if rows.is_empty() {
        return Ok(Map::new());
    }
    let ids: Vec<String> = rows.iter().map(|row| literal(text(row, "conversion_id"))).collect();
    let models: Vec<String> = page.keys.models.iter().map(|model| literal(model)).collect();
    let sql = format!(
        "select conversion_id, attribution_model, channel, source, medium, campaign, {} as credit from fct_credits \
         where attribution_model in ({}) and conversion_id in ({}) and credit_micros <> 0 \
         group by conversion_id, attribution_model, channel, source, medium, campaign \
         order by credit desc, channel, source, medium, campaign",
        conversions("credit_micros"),
        models.join(", "),
        ids.join(", ")
    );
    let mut credits = Map::new();
    for row in page.reader.query(&sql)? {
        let of = credits.entry(text(&row, "conversion_id").to_owned()).or_insert_with(|| json!({}));
        let of = &mut of[text(&row, "attribution_model")];
        if of.is_null() {
            let names = DIMENSIONS.iter().chain(&["credit"]);
            *of = names.map(|name| ((*name).to_owned(), row[*name].clone())).collect();
            of["others"] = 0.into();
        } else {
            of["others"] = (of["others"].as_i64().unwrap_or(0) + 1).into();
        }
    }
    Ok(credits)
}

/// Values of a dimension, most used first.
pub(super) fn values(page: Page<'_>, dimension: &str) -> Answer<Value> {
    let person = PERSON_DIMENSIONS.iter().find(|(name, _)| *name == dimension);
    let (column, table, count) = match (person, dimension) {
        (Some((_, column)), _) => (*column, "int_users", "count(*)"),
        (None, "conv") => ("event_name", "int_conversions", "count(*)"),
        (None, known) if DIMENSIONS.contains(&known) => (known, "int_touchpoints", "count(*)"),
        _ => return Err(PageFault::NotFound(format!("`{dimension}` is no dimension"))),
    };
    let like = match &page.keys.q {
        Some(q) => format!(
            "where strpos(lower(coalesce({column}, '(not set)')), {}) > 0",
            literal(&q.to_lowercase())
        ),
        None => String::new(),
    };
    let sql = format!(
        "select coalesce({column}, '(not set)') as value, {count} as touches from {table} {like} \
         group by 1 order by touches desc, value limit {}",
        VALUES + 1
    );
    let mut rows = page.ask("filters.values", &sql)?;
    let more = rows.len() > VALUES;
    rows.truncate(VALUES);
    let data = json!({ "dim": dimension, "rows": rows, "more": more, "sql_id": "filters.values" });
    page.finish_with(data, json!({ "conversions": "0", "revenue": "0" }), Value::Null, Value::Null)
}

/// One event with what the models made of it.
pub(super) fn event(page: Page<'_>, id: &str) -> Answer<Value> {
    if let Some(why) = without_events(&page) {
        return Err(PageFault::NotFound(why));
    }
    let found = page.ask(
        "events.row",
        &format!("select * from {} where event_key = {} limit 1", events(&page), literal(id)),
    )?;
    let Some(row) = found.into_iter().next() else {
        return Err(PageFault::NotFound(format!("no event has the key `{id}`")));
    };
    let conversion = page.ask(
        "events.conversion",
        &format!("select conversion_id from int_conversions where event_key = {}", literal(id)),
    )?;
    let touch = page.ask(
        "events.touch",
        &format!("select * from int_touchpoints where evidence_event_key = {0} or event_key = {0} limit 1", literal(id)),
    )?;
    let data = json!({ "key": id, "conversion_id": conversion.first().map(|row| &row["conversion_id"]),
        "person": row["person_key"], "touch": touch.first(), "row": row });
    page.finish_with(data, Value::Null, Value::Null, Value::Null)
}

/// Where a person's events are: in memory while live, else in the table.
pub(super) fn events(page: &Page<'_>) -> &'static str {
    if page.reader.tables.contains(super::LIVE_EVENTS) { super::LIVE_EVENTS } else { "int_events" }
}

/// Why there are no events to show, if so: tables of events are too large to be copied here unasked.
pub(super) fn without_events(page: &Page<'_>) -> Option<String> {
    let target = &page.workspace.project.target;
    let lacks = target.adapter == Adapter::Bigquery && !page.reader.tables.contains("int_events");
    lacks.then(|| {
        format!(
            "int_events is not copied to this server: `serve --also int_events` copies it, \
             `clicktrail query --target {}` asks BigQuery itself",
            target.name
        )
    })
}

//! Overview and Models: figures by day, credit by name, and how two attribution models differ.

use chrono::NaiveDate;
use serde_json::{Map, Value, json};

use super::conditions::conversions;
use super::page::{Answer, Page, pair};
use super::rows::{Row, amount, amounts, micros, text, whole};
use crate::catalog::literal;

/// Rows of a table of credit; what is beyond is summed in one.
const NAMES: usize = 100;
/// Conversions below which a change says little.
const LOW_VOLUME: i128 = 30_000_000;

/// What happened, and who gets credit.
pub(super) fn overview(page: Page<'_>) -> Answer<Value> {
    let (kpis, days) = figures(&page)?;
    let currencies = currencies(&page);
    let known: Vec<Value> = page
        .bounds
        .conversions
        .iter()
        .map(|(name, count)| json!({ "name": name, "conversions": count }))
        .collect();
    let previous =
        page.before().map(|(from, to)| json!({ "from": from, "to": to, "shift_days": page.shift }));
    let (credit, totals) = credit(&page, "overview.credit", &page.keys.models)?;
    let data = json!({
        "period": page.period(), "previous": previous, "conversion": page.conversion, "conversions_known": known,
        "currency": page.currency, "currencies": currencies, "kpis": kpis,
        "series": { "sql_id": "overview.kpis", "days": days },
        "credit": credit,
    });
    page.finish_from(data, totals.as_ref())
}

/// Whether the answer depends on the attribution model.
pub(super) fn models(page: Page<'_>) -> Answer<Value> {
    let (credit, totals) = credit(&page, "models.credit", &compared(&page))?;
    let (agreement, matrix) = super::matrix::matrix(&page)?;
    let data = json!({
        "period": page.period(), "conversion": page.conversion, "currency": page.currency,
        "credit": credit, "agreement": agreement, "matrix": matrix,
    });
    page.finish_from(data, totals.as_ref())
}

/// Where two attribution models are compared, the others stand beside them; three or more are taken as asked.
fn compared(page: &Page<'_>) -> Vec<String> {
    let asked = &page.keys.models;
    let all = page.bounds.models_of(&page.conversion);
    if asked.len() > 2 || all.len() < asked.len() { asked.clone() } else { all }
}

fn currencies(page: &Page<'_>) -> Vec<Value> {
    page.tell_money("overview.currencies");
    let one = |row: &Row| json!({ "currency": row["currency"], "conversions": row["conversions"], "revenue": amount(row.get("revenue")) });
    page.money.iter().map(one).collect()
}

/// Both periods by day and as a whole, in one query.
fn figures_sql(page: &Page<'_>) -> String {
    let (from, to) = (page.from, page.to);
    let (days, sessions) = (|column: &str| within_both(page, column), "session_date");
    let cut = |day: &str, at: &str| match page.before_until() {
        Some((last, until)) => format!(" and not ({day} = date '{last}' and {at} > {until})"),
        None => String::new(),
    };
    let late = match page.before_until() {
        Some((last, until)) => format!(
            " and not (c.conversion_date = date '{last}' and c.conversion_id in (select conversion_id \
             from int_conversions where conversion_date = date '{last}' and converted_at > {until}))"
        ),
        None => String::new(),
    };
    let touches = page.touch_filters("");
    let visits = match touches.is_empty() {
        true => String::new(),
        false => format!(
            " and session_key in (select session_key from int_touchpoints where true{touches})"
        ),
    };
    let revenue = page.revenue("c.");
    let period = |column: &str| {
        format!(
            "case when {column} between date '{from}' and date '{to}' then 'now' else 'before' end"
        )
    };
    format!(
        "with credit as (select {credit_period} as period, c.conversion_date as day, c.credit_micros, {revenue} as revenue \
           from fct_credits as c where c.attribution_model = {model} and c.event_name = {name} and {credit_days}\
           {touch}{person}{kept}{late}), \
         credits as (select period, day, {sum} as conversions, {orders} as orders, sum(revenue) as revenue \
           from credit group by grouping sets ((period), (period, day))), \
         visit as (select {visit_period} as period, session_date as day from int_sessions \
           where {visit_days}{visit_cut}{visits}{visitors}), \
         visits as (select period, day, cast(count(*) as decimal(30, 0)) as sessions from visit \
           group by grouping sets ((period), (period, day))) \
         select coalesce(credits.period, visits.period) as period, coalesce(credits.day, visits.day) as day, \
           coalesce(conversions, 0) as conversions, coalesce(revenue, 0) as revenue, coalesce(sessions, 0) as sessions, \
           cast(coalesce(conversions, 0) as double) / nullif(cast(sessions as double), 0) as conversion_rate, \
           cast(round(revenue / nullif(orders, 0), 2) as decimal(30, 2)) as average_order_value \
         from credits full outer join visits on credits.period = visits.period \
           and coalesce(credits.day, date '1900-01-01') = coalesce(visits.day, date '1900-01-01')",
        credit_period = period("c.conversion_date"),
        visit_period = period("session_date"),
        model = literal(page.keys.model()),
        name = literal(&page.conversion),
        credit_days = days("c.conversion_date"),
        visit_days = days(sessions),
        visit_cut = cut("session_date", "session_started_at"),
        touch = page.touch_filters("c."),
        person = page.person_filters("c."),
        kept = page.kept("c.", page.keys.model()),
        visitors = page.person_filters(""),
        sum = conversions("credit_micros"),
        orders = conversions("case when revenue is not null then credit_micros end"),
    )
}

fn within_both(page: &Page<'_>, column: &str) -> String {
    match page.before() {
        Some((from, to)) => {
            format!("({} or {column} between date '{from}' and date '{to}')", page.within(column))
        }
        None => page.within(column),
    }
}

fn figures(page: &Page<'_>) -> Answer<(Vec<Value>, Vec<Value>)> {
    let rows = page.ask("overview.kpis", &figures_sql(page))?;
    let find = |period: &str, day: Option<NaiveDate>| {
        let day = day.map(|day| day.to_string());
        rows.iter()
            .find(|row| text(row, "period") == period && row["day"].as_str() == day.as_deref())
    };
    let all: Vec<NaiveDate> = page.from.iter_days().take_while(|day| *day <= page.to).collect();
    let (now, before) = (find("now", None), find("before", None));
    let compared = page.before().is_some();
    let volume = |row: Option<&Row>| micros(&amount(row.and_then(|row| row.get("conversions"))));
    let low = volume(now) < LOW_VOLUME || compared && volume(before) < LOW_VOLUME;
    let units = [
        ("conversions", "count"),
        ("revenue", "money"),
        ("conversion_rate", "rate"),
        ("average_order_value", "money"),
        ("sessions", "count"),
    ];
    let value = |row: Option<&Row>, key: &str| match key {
        // There may be nothing to divide by.
        "conversion_rate" | "average_order_value" => {
            row.and_then(|row| row.get(key)).cloned().unwrap_or_default()
        }
        _ => amount(row.and_then(|row| row.get(key))),
    };
    let kpis = units
        .map(|(key, unit)| {
            let spark: Vec<Value> =
                all.iter().map(|day| value(find("now", Some(*day)), key)).collect();
            let previous = if compared { value(before, key) } else { Value::Null };
            json!({ "key": key, "unit": unit, "value": value(now, key), "previous": previous,
                "low_volume": low && key != "sessions", "spark": spark, "sql_id": "overview.kpis" })
        })
        .to_vec();
    let columns = ["conversions", "revenue", "sessions"];
    let days = all
        .iter()
        .map(|day| {
            let earlier =
                page.shift.filter(|_| compared).map(|shift| *day - chrono::Duration::days(shift));
            let mut one = amounts(find("now", Some(*day)), &columns);
            one["date"] = json!(day);
            one["partial"] = json!(page.partial_day == Some(*day));
            one["previous_date"] = json!(earlier);
            one["previous"] =
                earlier.map_or(Value::Null, |day| amounts(find("before", Some(day)), &columns));
            one
        })
        .collect();
    Ok((kpis, days))
}

fn listed(models: &[String]) -> String {
    let models: Vec<String> = models.iter().map(|model| literal(model)).collect();
    models.join(", ")
}

/// Credit by name under each attribution model, reconciled with totals that were computed apart; and those of the page's
/// own model.
fn credit(page: &Page<'_>, id: &str, models: &[String]) -> Answer<(Value, Option<Row>)> {
    let (by, revenue) = (&page.keys.by, page.revenue("c."));
    let where_ = format!(
        "from fct_credits as c where c.attribution_model in ({}) and c.event_name = {} and {}{}{}",
        listed(models),
        literal(&page.conversion),
        page.within("c.conversion_date"),
        page.touch_filters("c."),
        page.person_filters("c."),
    );
    let order = if page.keys.by_revenue { "revenue" } else { "credit" };
    let sql = format!(
        "with sums as (select c.attribution_model, c.{by} as name, sum(c.credit_micros) as credit, sum({revenue}) as revenue \
           {where_} and not {left_out} group by c.attribution_model, c.{by}), \
         names as (select name, row_number() over (order by \
             sum(case when attribution_model = {model} then {order} end) desc nulls last, sum({order}) desc nulls last, name) as number \
           from sums group by name) \
         select sums.attribution_model as model, case when number <= {NAMES} then sums.name end as name, \
           min(number) as number, count(*) as names, {sum} as conversions, sum(revenue) as revenue \
         from sums inner join names on sums.name = names.name \
         group by sums.attribution_model, case when number <= {NAMES} then sums.name end order by number",
        left_out = page.left_out("c."),
        model = literal(page.keys.model()),
        sum = conversions("credit"),
    );
    let sums = format!(
        "select c.attribution_model as model, {} {where_} group by c.attribution_model",
        page.sums()
    );
    let total_id = format!("{id}.total");
    let mut asked = page.ask_all(&[(id, sql), (total_id.as_str(), sums)])?.into_iter();
    let (found, totals) = (asked.next().unwrap_or_default(), asked.next().unwrap_or_default());
    let total = |model: &str| totals.iter().find(|row| text(row, "model") == model);
    for model in models {
        for column in ["conversions", "revenue"] {
            let parts: i128 = found
                .iter()
                .filter(|row| text(row, "model") == model)
                .map(|row| micros(&amount(row.get(column))))
                .sum();
            let whole = micros(&pair(total(model), "kept")[column]);
            page.reconcile(id, column, parts, whole)?;
        }
    }
    if !page.is_filtered() {
        conserve(page, id, models, &totals)?;
    }
    let mut rows: Vec<(Value, Map<String, Value>)> = Vec::new();
    let mut others = 0;
    for row in &found {
        let name = row["name"].clone();
        if name.is_null() {
            others = others.max(whole(row, "names"));
        }
        let values = amounts(Some(row), &["conversions", "revenue"]);
        let place = match rows.iter().position(|(known, _)| *known == name) {
            Some(place) => place,
            None => {
                rows.push((name, Map::new()));
                rows.len() - 1
            }
        };
        rows[place].1.insert(text(row, "model").to_owned(), values);
    }
    let none = amounts(None, &["conversions", "revenue"]);
    for (_, values) in &mut rows {
        for model in models {
            values.entry(model.clone()).or_insert_with(|| none.clone());
        }
    }
    let (rows, other): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(name, _)| !name.is_null());
    let other =
        other.into_iter().next().map(|(_, values)| json!({ "names": others, "values": values }));
    let rows: Vec<Value> =
        rows.into_iter().map(|(name, values)| json!({ "name": name, "values": values })).collect();
    let total_told: Map<String, Value> =
        models.iter().map(|model| (model.clone(), pair(total(model), "kept"))).collect();
    let left_out: Map<String, Value> = models
        .iter()
        .map(|model| (model.clone(), pair(total(model), "left_out")))
        .filter(|(_, out)| micros(&out["conversions"]) != 0)
        .collect();
    let own = totals.iter().find(|row| text(row, "model") == page.keys.model()).cloned();
    let told = json!({ "by": by, "models": models, "rows": rows, "other": other, "total": total_told,
        "left_out": left_out, "reconciled": true, "sql_id": id });
    Ok((told, own))
}

/// Without filters every model divides exactly the counted conversions and their revenue, those included that are left out.
fn conserve(page: &Page<'_>, id: &str, models: &[String], totals: &[Row]) -> Answer<()> {
    page.tell_money(&format!("{id}.conversions"));
    let counted = page.counted();
    for model in models {
        let credited = totals.iter().find(|row| text(row, "model") == model);
        for column in ["conversions", "revenue"] {
            let [kept, out] =
                ["kept", "left_out"].map(|name| micros(&pair(credited, name)[column]));
            page.reconcile(id, column, kept + out, micros(&counted[column]))?;
        }
    }
    Ok(())
}

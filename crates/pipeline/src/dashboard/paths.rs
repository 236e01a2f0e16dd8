//! Paths: the steps that lead to conversions. Every panel sums to the same total.

use serde_json::{Value, json};

use super::conditions::conversions;
use super::page::{Answer, Page, pair};
use super::rows::{Row, amount, amounts, micros, text};
use super::staged::Staged;

/// Paths that are listed.
const PATHS: usize = 25;
/// Steps that the flow shows.
const COLUMNS: usize = 5;
/// Names in a column of it.
const COLUMN_NAMES: usize = 7;

/// Conversions of the page as `chosen`, and their steps as `steps` (position from 1).
pub(super) fn steps(page: &Page<'_>) -> String {
    let by = &page.keys.by;
    let kept = if page.keys.collapse { "where before is null or before <> name" } else { "" };
    format!(
        "with chosen as (select c.conversion_id, sum(c.credit_micros) as credit, sum({revenue}) as revenue {credits} \
           group by c.conversion_id), \
         touches as (select j.conversion_id, j.position, j.seconds_before, j.{by} as name, \
             lag(j.{by}) over (partition by j.conversion_id order by j.position) as before \
           from int_journeys as j inner join chosen on j.conversion_id = chosen.conversion_id), \
         steps as (select conversion_id, name, seconds_before, \
             cast(row_number() over (partition by conversion_id order by position) as bigint) as position, \
             count(*) over (partition by conversion_id) as length \
           from touches {kept})",
        revenue = page.revenue("c."),
        credits = page.credits("c", page.keys.model()),
    )
}

/// Conversions with their steps as one list.
pub(super) const JOURNEYS: &str = "journeys as (select chosen.conversion_id, chosen.credit, chosen.revenue, \
       coalesce(walks.length, 0) as length, walks.steps, coalesce(walks.seconds, 0) as seconds from chosen left join ( \
         select conversion_id, max(length) as length, array_agg(name order by position) as steps, max(seconds_before) as seconds \
         from steps group by conversion_id) as walks on chosen.conversion_id = walks.conversion_id)";

/// The first steps as the flow shows them, by name; conversions without a touch stand in column 1.
fn named() -> String {
    format!(
        "named as (with shown as (select s.conversion_id, s.position, s.name, s.length, chosen.credit from steps as s \
           inner join chosen on s.conversion_id = chosen.conversion_id where s.position <= {COLUMNS} \
           union all select conversion_id, 1, '(no touch)', 1, credit from chosen \
           where conversion_id not in (select conversion_id from steps)), \
         ranked as (select position, name, row_number() over (partition by position order by sum(credit) desc, name) as number \
           from shown group by position, name) \
         select shown.conversion_id, shown.position, shown.length, shown.credit, \
           case when number <= {COLUMN_NAMES} then shown.name else 'Other' end as name, number > {COLUMN_NAMES} as is_other \
         from shown inner join ranked on shown.position = ranked.position and shown.name = ranked.name)"
    )
}

/// How people arrive.
pub(super) fn paths(page: Page<'_>) -> Answer<Value> {
    let steps = Staged::new(&page, steps(&page), &["chosen", "steps"])?
        .then("journeys", JOURNEYS)?
        .then("named", &named())?;
    let sums = page.totals()?;
    let total = pair(sums.first(), "kept");
    let data = json!({
        "period": page.period(), "conversion": page.conversion, "currency": page.currency, "by": page.keys.by,
        "collapse": page.keys.collapse,
        "paths": top(&page, &steps, &total)?,
        "sankey": flow(&page, &steps, &total)?,
        "lengths": distribution(&page, &steps, &total, "paths.lengths", "touches", "least(length, 10)", 10)?,
        "lags": distribution(&page, &steps, &total, "paths.lags", "days",
            "least(cast(floor(seconds / 86400) as bigint), 90)", 90)?,
        "positions": positions(&page, &steps)?,
    });
    page.finish_from(data, sums.first())
}

fn top(page: &Page<'_>, steps: &Staged, total: &Value) -> Answer<Value> {
    let order =
        if page.keys.by_revenue { "sum(revenue) desc nulls last" } else { "sum(credit) desc" };
    let sql = format!(
        "with walks as (select steps, row_number() over (order by {order}, length, steps) as number, \
           length, count(*) as paths, sum(credit) as credit, sum(revenue) as revenue, \
           cast(floor(median(cast(seconds as double)) / 86400) as bigint) as days \
           from journeys group by steps, length) \
         select case when number <= {PATHS} then steps end as steps, case when number <= {PATHS} then number end as number, \
           max(length) as touches, count(*) as paths, {sum} as conversions, sum(revenue) as revenue, max(days) as days \
         from walks group by 1, 2 order by number nulls last",
        sum = conversions("credit"),
    );
    let rows = steps.ask(page, "paths.top", &sql)?;
    reconciled(page, "paths.top", &rows, total)?;
    let (listed, rest): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| !row["number"].is_null());
    let listed: Vec<Value> = listed
        .iter()
        .map(|row| {
            json!({ "steps": if row["steps"].is_null() { json!([]) } else { row["steps"].clone() },
                "touches": row["touches"], "days": row["days"], "conversions": row["conversions"],
                "revenue": amount(row.get("revenue")) })
        })
        .collect();
    let other = rest.first().map(|row| {
        json!({ "paths": row["paths"], "conversions": row["conversions"], "revenue": amount(row.get("revenue")) })
    });
    Ok(
        json!({ "rows": listed, "other": other, "total": total, "reconciled": true, "sql_id": "paths.top" }),
    )
}

fn reconciled(page: &Page<'_>, id: &str, rows: &[Row], total: &Value) -> Answer<()> {
    for column in ["conversions", "revenue"] {
        let parts = rows.iter().map(|row| micros(&amount(row.get(column)))).sum();
        page.reconcile(id, column, parts, micros(&total[column]))?;
    }
    Ok(())
}

/// Flow over the first steps.
fn flow(page: &Page<'_>, steps: &Staged, total: &Value) -> Answer<Value> {
    let nodes = steps.ask(
        page,
        "paths.sankey",
        &format!(
            "select position as \"column\", name, is_other, {sum} as conversions, {ends} as ends, {on} as goes_on from named \
             group by position, name, is_other order by position, is_other, conversions desc, name",
            sum = conversions("credit"),
            ends = conversions("case when length = position then credit end"),
            on = conversions(&format!("case when position = {COLUMNS} and length > {COLUMNS} then credit end")),
        ),
    )?;
    let links = steps.ask(
        page,
        "paths.sankey.links",
        &format!(
            "select a.position as \"column\", a.name as \"from\", b.name as \"to\", {} as conversions from named as a \
             inner join named as b on a.conversion_id = b.conversion_id and b.position = a.position + 1 \
             group by a.position, a.name, b.name order by a.position, conversions desc, a.name, b.name",
            conversions("a.credit")
        ),
    )?;
    let first =
        nodes.iter().filter(|row| row["column"] == 1).map(|row| micros(&row["conversions"])).sum();
    page.reconcile("paths.sankey", "conversions", first, micros(&total["conversions"]))?;
    Ok(json!({ "columns": COLUMNS, "nodes": nodes, "links": links, "sql_id": "paths.sankey" }))
}

fn distribution(
    page: &Page<'_>,
    steps: &Staged,
    total: &Value,
    id: &str,
    key: &str,
    bucket: &str,
    last: i64,
) -> Answer<Value> {
    let sql = format!(
        "select {bucket} as {key}, {} as conversions, sum(revenue) as revenue from journeys group by 1 order by 1",
        conversions("credit")
    );
    let rows = steps.ask(page, id, &sql)?;
    reconciled(page, id, &rows, total)?;
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({ key: row[key], "conversions": row["conversions"], "revenue": amount(row.get("revenue")),
                "is_more": row[key] == last })
        })
        .collect();
    Ok(json!({ "rows": rows, "sql_id": id }))
}

fn positions(page: &Page<'_>, steps: &Staged) -> Answer<Value> {
    let sql = format!(
        "select name, sum(case when length = 1 then 1 else 0 end) as only, \
           sum(case when length > 1 and position = 1 then 1 else 0 end) as early, \
           sum(case when position > 1 and position < length then 1 else 0 end) as mid, \
           sum(case when length > 1 and position = length then 1 else 0 end) as late \
         from steps group by name order by count(*) desc, name limit 12"
    );
    let rows = steps.ask(page, "paths.positions", &sql)?;
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut one = amounts(Some(row), &["only", "early", "mid", "late"]);
            one["name"] = text(row, "name").into();
            one
        })
        .collect();
    Ok(json!({ "rows": rows, "sql_id": "paths.positions" }))
}

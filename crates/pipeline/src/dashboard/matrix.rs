//! How two attribution models differ: which conversions they credit alike, and where the others move.

use serde_json::{Value, json};

use super::page::{Answer, Page};
use super::rows::{Row, amount, micros, text};
use super::staged::Staged;
use crate::catalog::literal;

/// Names of the matrix; more would not be read.
const MATRIX_NAMES: usize = 12;

/// What the query needs to know of a page, as SQL.
struct Ask<'a> {
    by: &'a str,
    opened: &'a str,
    closed: &'a str,
    /// Which credits, but for the attribution model: key event, days, persons.
    of: String,
    /// Filters on touches, each after ` and `.
    touches: String,
    revenue: String,
}

/// What both models give each name of each conversion. `kept` is what the filters leave of it.
fn shares(ask: &Ask<'_>) -> String {
    let Ask { by, opened, closed, of, touches, revenue } = ask;
    let is = |model: &str| format!("c.attribution_model = {}", literal(model));
    format!(
        "with shares as (select c.conversion_id, c.{by} as name, sum(case when {is_opened} then c.credit_micros else 0 end) as had, \
           sum(case when {is_closed} then c.credit_micros else 0 end) as has, \
           sum(case when {is_closed}{touches} then c.credit_micros else 0 end) as kept, \
           sum(case when {is_closed}{touches} then {revenue} end) as revenue \
           from fct_credits as c where c.attribution_model in ({both}) and {of} group by c.conversion_id, c.{by})",
        is_opened = is(opened),
        is_closed = is(closed),
        both = [*opened, *closed].map(literal).join(", "),
    )
}

/// Credit by the name that the first model gives it and the name that the last one gives it. What both give a name
/// stays with it; the rest of a conversion moves from the names that lose to the names that gain, in proportion. So rows
/// and columns sum to the credit of each model, and two models are as alike as they can be said to be.
const MOVES: &str = "moves as (with gains as (select conversion_id, sum(has - had) as gain from shares where has > had \
       group by conversion_id), \
     pairs as (select name as opened, name as closed, cast(least(had, has) as double) as credit, has, kept, revenue \
         from shares where had > 0 and has > 0 \
       union all \
       select o.name, c.name, cast(o.had - o.has as double) * cast(c.has - c.had as double) / cast(gain as double), \
         c.has, c.kept, c.revenue from shares as o inner join gains on o.conversion_id = gains.conversion_id \
         inner join shares as c on o.conversion_id = c.conversion_id where o.had > o.has and c.has > c.had) \
     select opened, closed, sum(credit * (cast(kept as double) / cast(has as double))) as credit, \
       sum(case when credit = cast(has as double) then cast(revenue as decimal(30, 6)) \
         else cast(round(cast(revenue as double) * (credit / cast(has as double)), 6) as decimal(30, 6)) end) as revenue \
     from pairs where kept <> 0 group by opened, closed)";

fn cells() -> String {
    format!(
        "with names as (select name, row_number() over (order by sum(credit) desc, name) as number \
           from (select opened as name, credit from moves union all select closed, credit from moves) group by name) \
         select case when o.number <= {MATRIX_NAMES} then opened else 'Other' end as opened, \
           case when c.number <= {MATRIX_NAMES} then closed else 'Other' end as closed, min(o.number) as number, \
           {sum} as conversions, sum(revenue) as revenue, {same} as same \
         from moves inner join names as o on opened = o.name inner join names as c on closed = c.name \
         group by 1, 2 order by number, conversions desc",
        sum = millionths("credit"),
        same = millionths("case when opened = closed then credit end"),
    )
}

/// A sum of parts of credits as conversions, rounded to the millionth.
fn millionths(credit: &str) -> String {
    format!(
        "cast(cast(coalesce(round(sum({credit})), 0) as decimal(30, 0)) * cast('0.000001' as decimal(7, 6)) as decimal(30, 6))"
    )
}

/// Which conversions two models credit alike, and how the others move.
pub(super) fn matrix(page: &Page<'_>) -> Answer<(Value, Value)> {
    let opened = page.keys.models.first().map_or("first_click", String::as_str);
    let ask = Ask {
        by: &page.keys.by,
        opened,
        closed: page.keys.model(),
        of: format!(
            "c.event_name = {} and {}{}{}{}",
            literal(&page.conversion),
            page.within("c.conversion_date"),
            page.person_filters("c."),
            // A pair needs both: what one of them leaves out is in neither [2.15].
            page.kept("c.", opened),
            page.kept("c.", page.keys.model()),
        ),
        touches: page.touch_filters("c."),
        revenue: page.revenue("c."),
    };
    let staged = Staged::new(page, shares(&ask), &["shares"])?.then("moves", MOVES)?;
    let rows = staged.ask(page, "models.matrix", &cells())?;
    let sum = |column: &str| -> i128 { rows.iter().map(|row| micros(&row[column])).sum() };
    let (same, total) = (sum("same"), sum("conversions"));
    let told: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({ "opened": row["opened"], "closed": row["closed"], "conversions": row["conversions"],
                "revenue": amount(row.get("revenue")) })
        })
        .collect();
    let share = if total == 0 { Value::Null } else { json!(same as f64 / total as f64) };
    Ok((
        json!({ "opened_model": opened, "closed_model": page.keys.model(), "same": exact(same), "total": exact(total),
            "share": share, "sql_id": "models.matrix" }),
        json!({ "names": names(&rows), "cells": told, "sql_id": "models.matrix" }),
    ))
}

/// Names by their weight in both models; what is beyond them last.
fn names(rows: &[Row]) -> Vec<&str> {
    let mut weights: Vec<(&str, i128)> = Vec::new();
    for row in rows {
        for side in ["opened", "closed"] {
            let weight = micros(&row["conversions"]);
            match weights.iter_mut().find(|(name, _)| *name == text(row, side)) {
                Some((_, sum)) => *sum += weight,
                None => weights.push((text(row, side), weight)),
            }
        }
    }
    weights.sort_by(|(a, x), (b, y)| (*a == "Other", -x, *a).cmp(&(*b == "Other", -y, *b)));
    weights.into_iter().map(|(name, _)| name).collect()
}

fn exact(micros: i128) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clicktrail_engine::datafusion::{Embedded, EmbeddedSettings};

    use super::*;
    use crate::dashboard::rows::rows;

    /// Conversion 1 is Email's under the last click, Search's under the first; linear gives Search 50, Email 25, Direct 25 %.
    const CREDITS: &str = "select * from (values \
        ('1', 'first', 'Search', 'a', 1000000, 40.0), ('1', 'last', 'Email', 'b', 1000000, 40.0), \
        ('1', 'linear', 'Search', 'a', 500000, 20.0), ('1', 'linear', 'Email', 'b', 250000, 10.0), \
        ('1', 'linear', 'Direct', 'c', 250000, 10.0), \
        ('2', 'first', 'Email', 'b', 1000000, 5.0), ('2', 'last', 'Email', 'b', 1000000, 5.0), \
        ('2', 'linear', 'Email', 'b', 1000000, 5.0)) \
        as credits (conversion_id, attribution_model, channel, source, credit_micros, revenue)";

    type Cells = BTreeMap<(String, String), (String, String)>;

    fn cells_of(opened: &str, closed: &str, touches: &str) -> (Cells, String) {
        let engine = Embedded::new(EmbeddedSettings {
            threads: 1,
            memory_bytes: 64 << 20,
            spill_dir: std::env::temp_dir(),
        })
        .unwrap();
        let session = engine.single_threaded_session().unwrap();
        let (schema, batches) = session.query(CREDITS).unwrap();
        session.add_batches("fct_credits", schema, batches).unwrap();
        let ask = Ask {
            by: "channel",
            opened,
            closed,
            of: "true".into(),
            touches: touches.into(),
            revenue: "cast(revenue as decimal(18, 6))".into(),
        };
        let whole = format!("{}, {MOVES}, {}", shares(&ask), &cells()["with ".len()..]);
        let (_, batches) = session.query(&whole).unwrap();
        let rows = rows(&batches).unwrap();
        let same: i128 = rows.iter().map(|row| micros(&row["same"])).sum();
        let cell = |row: &Row| {
            let of = |name: &str| text(row, name).to_owned();
            ((of("opened"), of("closed")), (of("conversions"), of("revenue")))
        };
        (rows.iter().map(cell).collect(), exact(same))
    }

    fn wanted(cells: &[(&str, &str, &str, &str)]) -> Cells {
        let cell = |(opened, closed, conversions, revenue): &(&str, &str, &str, &str)| {
            (((*opened).into(), (*closed).into()), ((*conversions).into(), (*revenue).into()))
        };
        cells.iter().map(cell).collect()
    }

    #[test]
    fn whole_credits_move_whole() {
        let (cells, same) = cells_of("first", "last", "");
        assert_eq!(cells, wanted(&[("Search", "Email", "1", "40"), ("Email", "Email", "1", "5")]));
        assert_eq!(same, "1");
    }

    #[test]
    fn a_divided_credit_stays_where_both_give_it_and_moves_in_proportion() {
        let (cells, same) = cells_of("last", "linear", "");
        // Of conversion 1 Email keeps a quarter; the rest goes to Search and Direct as linear divides it.
        assert_eq!(
            cells,
            wanted(&[
                ("Email", "Email", "1.25", "15"),
                ("Email", "Search", "0.5", "20"),
                ("Email", "Direct", "0.25", "10")
            ])
        );
        assert_eq!(same, "1.25");
        let (back, alike) = cells_of("linear", "last", "");
        assert_eq!(
            back,
            wanted(&[
                ("Email", "Email", "1.25", "15"),
                ("Search", "Email", "0.5", "20"),
                ("Direct", "Email", "0.25", "10")
            ])
        );
        assert_eq!(alike, same);
    }

    #[test]
    fn the_same_model_agrees_with_itself() {
        let (cells, same) = cells_of("linear", "linear", "");
        assert!(cells.keys().all(|(opened, closed)| opened == closed), "{cells:?}");
        assert_eq!(same, "2");
    }

    #[test]
    fn a_filter_on_touches_counts_the_credit_that_they_have_under_the_last_model() {
        let (cells, _) = cells_of("first", "linear", " and c.source = 'b'");
        assert_eq!(
            cells,
            wanted(&[("Search", "Email", "0.25", "10"), ("Email", "Email", "1", "5")])
        );
    }
}

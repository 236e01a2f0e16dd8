//! Health, Settings: what the pipeline says about itself.

use std::collections::{BTreeMap, BTreeSet};

use clicktrail_project::{Project, ResourceType};
use serde_json::{Map, Value, json};

use super::lineage::command;
use super::page::{Answer, Page};
use super::rows::{Row, text};
use super::words;
use crate::artifacts::{RUN_RESULTS, SOURCES, last_summary};
use crate::catalog::literal;
use crate::clock::rfc3339;
use crate::error::Result;
use crate::report::{NodeResult, RunSummary, Status};

/// Rows of lists on Health.
const LAST: usize = 20;

/// A stream has stopped when its last event is so old; longer ago it was no stream.
const STOPPED_SECONDS: std::ops::Range<f64> = 300.0..3_600.0;

/// What ran last, kept for the pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcomes {
    /// Results of data and unit tests with the time they ended, microseconds.
    pub(crate) tests: Option<(i64, RunSummary)>,
    /// Command, end, seconds, nodes, errors; youngest last.
    runs: Vec<Value>,
    /// Results of models and seeds by unique id.
    pub(super) nodes: BTreeMap<String, NodeResult>,
    /// Freshness of sources, when it was looked at.
    pub(crate) freshness: Vec<NodeResult>,
}

impl Outcomes {
    /// What the last command left in the folder `target`.
    pub(crate) fn of_last_run(project: &Project) -> Result<Self> {
        let mut outcomes = Self::default();
        if let Some((at, summary)) = last_summary(project, RUN_RESULTS)? {
            outcomes.add(at, &summary);
        }
        if let Some((_, summary)) = last_summary(project, SOURCES)? {
            outcomes.freshness = summary.results;
        }
        Ok(outcomes)
    }

    /// Takes in what a run said.
    pub(crate) fn add(&mut self, at: i64, summary: &RunSummary) {
        let is_test =
            |result: &&NodeResult| matches!(result.resource_type.as_str(), "test" | "unit_test");
        let errors = summary.count(Status::Error) + summary.count(Status::Fail);
        self.runs.push(
            json!({ "command": summary.command, "at": rfc3339(at), "seconds": summary.seconds,
            "nodes": summary.results.len(), "errors": errors }),
        );
        if self.runs.len() > LAST {
            self.runs.remove(0);
        }
        let (tests, nodes): (Vec<&NodeResult>, Vec<&NodeResult>) =
            summary.results.iter().partition(is_test);
        for node in nodes {
            self.nodes.insert(node.unique_id.clone(), node.clone());
        }
        if !tests.is_empty() {
            let results = tests.into_iter().cloned().collect();
            self.tests = Some((at, RunSummary { results, ..summary.clone() }));
        }
    }

    /// Counts by status; null before tests ran.
    pub(crate) fn counts(&self) -> Value {
        let Some((_, summary)) = &self.tests else { return Value::Null };
        json!({ "pass": summary.count(Status::Pass), "warn": summary.count(Status::Warn),
            "fail": summary.count(Status::Fail), "error": summary.count(Status::Error),
            "skipped": summary.count(Status::Skipped) })
    }

    /// When the tests ended, microseconds since 1970; 0 before any ran.
    pub(crate) fn tested_at(&self) -> i64 {
        self.tests.as_ref().map_or(0, |(at, _)| *at)
    }

    /// The same for the envelope, with the tests that did not pass and what depends on what they test.
    pub(crate) fn told(&self, project: &Project) -> Value {
        let mut told = self.counts();
        let Some((at, summary)) = &self.tests else { return told };
        let failing: Vec<Value> = summary
            .results
            .iter()
            .filter(|result| matches!(result.status, Status::Warn | Status::Fail | Status::Error))
            .map(|result| {
                let (nodes, tables) = at_risk(project, &result.unique_id);
                json!({ "name": result.name, "status": result.status, "failures": result.failures,
                    "nodes": nodes, "tables": tables })
            })
            .collect();
        told["at"] = rfc3339(*at).into();
        told["failing"] = failing.into();
        told
    }
}

/// What a test reads, and everything downstream of it.
fn at_risk(project: &Project, test: &str) -> (Vec<String>, BTreeSet<String>) {
    let manifest = &project.manifest;
    let parents = manifest.parent_map.get(test).cloned().unwrap_or_default();
    let name = |id: &String| manifest.nodes.get(id).map(|node| node.name.clone());
    let nodes: Vec<String> = parents.iter().filter_map(name).collect();
    let (mut tables, mut open) = (BTreeSet::new(), parents);
    while let Some(id) = open.pop() {
        let Some(node) = manifest.nodes.get(&id) else { continue };
        if node.resource_type != ResourceType::Test && tables.insert(node.name.clone()) {
            open.extend(manifest.child_map.get(&id).cloned().unwrap_or_default());
        }
    }
    (nodes, tables)
}

/// What a page of state is made from besides tables.
pub(crate) struct Things<'a> {
    pub(crate) outcomes: &'a Outcomes,
    /// How the stream stands, as JSON.
    pub(crate) stream: Value,
    /// Rows by table.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Models that do not follow the stream, with the reason; `None` when nothing is live.
    pub(crate) off: Option<BTreeMap<String, String>>,
    /// Build of the dashboard's files.
    pub(crate) build: Value,
}

/// Can it be trusted?
pub(super) fn health(page: Page<'_>, things: &Things<'_>) -> Answer<Value> {
    let project = &page.workspace.project;
    let ledger = |name: &str, sql: &str| -> Answer<Vec<Row>> {
        if page.reader.tables.contains(name) {
            page.ask(&format!("health.{name}"), sql)
        } else {
            Ok(Vec::new())
        }
    };
    let reasons = ledger(
        "events_dead_letter",
        "select reason, count(*) as rows from events_dead_letter group by reason order by rows desc, reason",
    )?;
    let letters = ledger(
        "events_dead_letter",
        "select received_at, route, reason, detail, raw from events_dead_letter order by received_at desc limit 20",
    )?;
    let letters: Vec<Value> = letters
        .into_iter()
        .map(|mut row| {
            let at = row.get("received_at").and_then(Value::as_i64).unwrap_or(0);
            row.insert("received_at".into(), rfc3339(at).into());
            Value::Object(row)
        })
        .collect();
    let total = |rows: &[Row]| rows.iter().filter_map(|row| row["rows"].as_i64()).sum::<i64>();
    let rejected = ledger("rejected_rows", "select count(*) as rows from rejected_rows")?;
    let restated = ledger("restatements", "select count(*) as rows from restatements")?;
    let last = ledger(
        "restatements",
        "select restated_at as at, table_name as \"table\", date, dimensions, measure, from_value as \"from\", \
         to_value as \"to\", cause from restatements order by restated_at desc, seq desc limit 20",
    )?;
    let mut stream = things.stream.clone();
    stream["rejected"] = total(&reasons).into();
    if let Some((at, age)) = page.last_event() {
        stream["last_event_at"] = rfc3339(at).into();
        stream["age_seconds"] = age.into();
        stream["stopped"] = STOPPED_SECONDS.contains(&age).into();
    }
    let data = json!({
        "ready": true, "phase": things.stream["phase"], "tests": tests(project, things.outcomes),
        "stream": stream, "tables": tables(things), "days": days(&page)?,
        "dead_letters": { "total": total(&reasons), "reasons": reasons, "last": letters, "sql_id": "health.events_dead_letter" },
        "rejected_rows": total(&rejected), "restatements": { "total": total(&restated), "last": last },
        "runs": things.outcomes.runs.iter().rev().collect::<Vec<_>>(), "freshness": freshness(things.outcomes),
    });
    page.finish(data)
}

fn freshness(outcomes: &Outcomes) -> Value {
    outcomes
        .freshness
        .iter()
        .map(|result| json!({ "source": result.name, "status": result.status, "message": result.message }))
        .collect()
}

fn tests(project: &Project, outcomes: &Outcomes) -> Value {
    let Some((at, summary)) = &outcomes.tests else { return Value::Null };
    let rows: Vec<Value> = summary
        .results
        .iter()
        .map(|result| {
            let node = project.manifest.nodes.get(&result.unique_id);
            let message = result.problem.as_ref().map_or(&result.message, |problem| &problem.message);
            json!({ "name": result.name, "unique_id": result.unique_id, "status": result.status,
                "severity": node.map(|node| node.config.severity), "failures": result.failures, "message": message,
                "nodes": at_risk(project, &result.unique_id).0, "column": node.and_then(|node| node.column_name.clone()),
                "description": node.map_or("", |node| node.description.as_str()), "seconds": result.seconds,
                "resource_type": result.resource_type, "sql": node.map(|node| node.raw_code.clone()),
                "command": command(project, "test", &result.name) })
        })
        .collect();
    json!({ "counts": outcomes.counts(), "at": rfc3339(*at), "seconds": summary.seconds, "rows": rows })
}

fn tables(things: &Things<'_>) -> Vec<Value> {
    let none = BTreeMap::new();
    let off = things.off.as_ref().unwrap_or(&none);
    let live = |name: &str| things.off.is_some() && !off.contains_key(name);
    let kept = things.rows.iter().map(|(name, rows)| {
        json!({ "name": name, "rows": rows, "live": live(name), "why_not_live": null })
    });
    let others = off.iter().filter(|(name, _)| !things.rows.contains_key(*name)).map(
        |(name, why)| json!({ "name": name, "rows": null, "live": false, "why_not_live": why }),
    );
    kept.chain(others).collect()
}

fn days(page: &Page<'_>) -> Answer<Vec<Value>> {
    let sql = format!(
        "with visits as (select session_date as day, count(*) as sessions from int_sessions group by session_date), \
         sold as (select conversion_date as day, count(*) as conversions from int_conversions where is_counted \
           and event_name = {} group by conversion_date), \
         banded as (select visits.day, sessions, \
             min(sessions) over (order by visits.day rows between 7 preceding and 1 preceding) as low, \
             max(sessions) over (order by visits.day rows between 7 preceding and 1 preceding) as high, \
             count(*) over (order by visits.day rows between 7 preceding and 1 preceding) as known from visits) \
         select banded.day as date, sessions, coalesce(conversions, 0) as conversions, \
           case when known >= 3 then low end as low, case when known >= 3 then high end as high \
         from banded left join sold on banded.day = sold.day where banded.day <= date '{}' order by banded.day desc limit 28",
        literal(&page.conversion),
        page.to.max(page.partial_day.unwrap_or(page.to)),
    );
    let rows = page.ask("health.days", &sql)?;
    let mut days: Vec<Value> = rows
        .iter()
        .map(|row| {
            let partial = page.partial_day.is_some_and(|day| day.to_string() == text(row, "date"));
            let number = |name: &str| row[name].as_i64();
            let usual = match (number("low"), number("high"), number("sessions")) {
                (Some(low), Some(high), Some(now)) => partial || (low..=high).contains(&now),
                _ => true,
            };
            json!({ "date": row["date"], "sessions": row["sessions"].to_string(), "conversions": row["conversions"].to_string(),
                "low": row["low"], "high": row["high"], "usual": usual, "partial": partial })
        })
        .collect();
    days.reverse();
    Ok(days)
}

/// Which rules are in force.
pub(super) fn settings(page: Page<'_>, things: &Things<'_>) -> Answer<Value> {
    let rules = page.ask(
        "settings.rules",
        "select channel_rule, channel, count(*) as touches, count(distinct session_key) as sessions from int_touchpoints \
         group by channel_rule, channel order by touches desc, channel_rule",
    )?;
    let rules: Vec<Value> = rules
        .iter()
        .map(|row| {
            let rule = text(row, "channel_rule");
            json!({ "rule": rule.rsplit(' ').next(), "channel": row["channel"], "text": words::rule(rule),
                "touches": row["touches"], "sessions": row["sessions"] })
        })
        .collect();
    let vars: Map<String, Value> = page.workspace.vars().into_iter().collect();
    let var = |name: &str| vars.get(name).cloned().unwrap_or_default();
    let models: Vec<Value> = page
        .bounds
        .models()
        .iter()
        .map(|name| {
            let (text, explained, semantics) = words::model(name);
            json!({ "name": name, "text": text, "explained": explained, "semantics": semantics })
        })
        .collect();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let listed: Vec<Value> =
        vars.iter().map(|(name, value)| json!({ "name": name, "value": shown(value) })).collect();
    let data = json!({
        "project": page.workspace.project.name, "property_id": var("property_id"), "timezone": page.timezone,
        "key_events": var("key_events"), "touch_grain": var("touch_grain"), "order_dedupe_scope": var("order_dedupe_scope"),
        "identity": { "mode": var("identity"), "retro_days": var("identity_retro_days"),
            "max_users_per_device": var("identity_max_users_per_device"),
            "max_devices_per_user": var("identity_max_devices_per_user") },
        "excluded_channels": var("excluded_channels"),
        "lookback": { "days": var("lookback_days"), "by_event": var("lookback_days_by_event") },
        "direct": { "text": words::direct("last_click"), "semantics": "2.6" }, "models": models,
        "rules": { "version": var("channel_rules"), "rows": rules, "sql_id": "settings.rules" },
        "referral_exclusions": var("referral_exclusions"), "own_domains": var("own_domains"), "vars": listed,
        "build": things.build["build"], "licences": things.build["licences"],
    });
    page.finish(data)
}

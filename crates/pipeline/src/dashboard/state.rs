//! Health, Lineage, Settings: what the pipeline says about itself.

use std::collections::{BTreeMap, BTreeSet};

use clicktrail_project::{Adapter, Node, Project, ResourceType, SelectArgs};
use serde_json::{Map, Value, json};

use super::keys::PageKeyFault;
use super::page::{Answer, Page, PageFault};
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
    nodes: BTreeMap<String, NodeResult>,
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

/// Where numbers come from.
pub(super) fn lineage(page: Page<'_>, things: &Things<'_>) -> Answer<Value> {
    let project = &page.workspace.project;
    let select = page.keys.select.clone().unwrap_or_default();
    let words: Vec<String> = select.split_whitespace().map(str::to_owned).collect();
    let selected = match words.is_empty() {
        true => None,
        false => {
            Some(project.select(&SelectArgs { select: words, ..SelectArgs::default() }).map_err(
                |error| {
                    let why = [Some(error.to_string()), error.hint()]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join("; ");
                    PageFault::Keys(vec![PageKeyFault {
                        key: "select".into(),
                        value: select.clone(),
                        why,
                    }])
                },
            )?)
        }
    };
    let is_selected = |id: &str| selected.as_ref().is_none_or(|ids| ids.contains(id));
    let mut nodes: Vec<Value> = Vec::new();
    for source in project.manifest.sources.values() {
        nodes.push(json!({ "name": format!("{}.{}", source.source_name, source.name), "unique_id": source.unique_id,
            "resource_type": "source", "materialized": null, "layer": "source", "path": source.original_file_path,
            "description": source.description, "rows": null, "live": null, "status": null, "tests": null,
            "selected": is_selected(&source.unique_id) }));
    }
    for node in project.manifest.nodes.values().filter(|node| is_relation(node)) {
        nodes.push(told_node(project, things, node, is_selected(&node.unique_id)));
    }
    let known: BTreeSet<String> =
        nodes.iter().filter_map(|node| Some(node["unique_id"].as_str()?.to_owned())).collect();
    let edges: Vec<Value> = known
        .iter()
        .flat_map(|id| {
            let parents = project.manifest.parent_map.get(id).into_iter().flatten();
            parents
                .filter(|parent| known.contains(*parent))
                .map(move |parent| json!({ "from": parent, "to": id }))
        })
        .collect();
    let count = nodes.iter().filter(|node| node["selected"] == true).count();
    let data = json!({ "nodes": nodes, "edges": edges, "select": select, "selected": count });
    page.finish(data)
}

fn is_relation(node: &Node) -> bool {
    matches!(node.resource_type, ResourceType::Model | ResourceType::Seed)
}

fn told_node(project: &Project, things: &Things<'_>, node: &Node, selected: bool) -> Value {
    let why = things.off.as_ref().and_then(|off| off.get(&node.alias));
    let folder =
        |name: &str| node.original_file_path.components().any(|part| part.as_os_str() == name);
    let layer = ["staging", "intermediate", "marts"].into_iter().find(|name| folder(name));
    let seed = if node.resource_type == ResourceType::Seed { Some("seed") } else { None };
    json!({ "name": node.name, "unique_id": node.unique_id, "resource_type": node.resource_type.as_str(),
        "materialized": node.config.materialized, "layer": seed.or(layer).unwrap_or("other"),
        "path": node.original_file_path, "description": node.description, "rows": things.rows.get(&node.alias),
        "live": things.off.is_some() && why.is_none() && node.config.meta.contains_key("live"), "why_not_live": why,
        "status": things.outcomes.nodes.get(&node.unique_id).map(|result| result.status),
        "tests": test_counts(project, things, &node.unique_id), "selected": selected, "tags": node.config.tags })
}

fn tests_of<'t>(project: &Project, things: &'t Things<'_>, id: &str) -> Vec<&'t NodeResult> {
    let children = project.manifest.child_map.get(id).cloned().unwrap_or_default();
    let results = things.outcomes.tests.iter().flat_map(|(_, summary)| &summary.results);
    results
        .filter(|result| {
            let unit = project
                .manifest
                .unit_tests
                .get(&result.unique_id)
                .is_some_and(|test| test.model_id == id);
            unit || children.contains(&result.unique_id)
        })
        .collect()
}

fn test_counts(project: &Project, things: &Things<'_>, id: &str) -> Value {
    let results = tests_of(project, things, id);
    let count = |status: Status| results.iter().filter(|result| result.status == status).count();
    json!({ "pass": count(Status::Pass), "warn": count(Status::Warn), "fail": count(Status::Fail), "error": count(Status::Error) })
}

/// One node: columns, tests, SQL.
pub(super) fn node(page: Page<'_>, name: &str, things: &Things<'_>) -> Answer<Value> {
    let project = &page.workspace.project;
    let manifest = &project.manifest;
    if let Some(source) = manifest.sources.values().find(|source| {
        source.unique_id == name || format!("{}.{}", source.source_name, source.name) == name
    }) {
        let columns: Vec<Value> = source
            .columns
            .iter()
            .map(|column| json!({ "name": column.name, "type": column.data_type, "description": column.description, "tests": [] }))
            .collect();
        let data = json!({ "name": name, "unique_id": source.unique_id, "resource_type": "source", "materialized": null,
            "path": source.original_file_path, "description": source.description, "tags": source.tags, "rows": null, "live": null,
            "columns": columns, "tests": [], "parents": [], "children": near(project, &manifest.child_map, &source.unique_id),
            "raw_sql": null, "compiled_sql": null, "command": "clicktrail source freshness" });
        return page.finish(data);
    }
    let Some(node) = manifest
        .nodes
        .values()
        .find(|node| is_relation(node) && (node.name == name || node.unique_id == name))
    else {
        return Err(PageFault::NotFound(format!("no model, seed or source has the name `{name}`")));
    };
    let compiled = page.workspace.compiled_sql(node).ok();
    let tests: Vec<Value> = tests_of(project, things, &node.unique_id)
        .into_iter()
        .map(|result| {
            let column = manifest.nodes.get(&result.unique_id).and_then(|test| test.column_name.clone());
            json!({ "name": result.name, "status": result.status, "failures": result.failures, "column": column })
        })
        .collect();
    let types = page.workspace.column_types(&node.alias);
    let described = |column: &str| node.columns.iter().find(|known| known.name == column);
    let mut columns: Vec<Value> = types
        .iter()
        .map(|(column, data_type)| {
            let on: Vec<&Value> = tests.iter().filter(|test| test["column"] == **column).map(|test| &test["name"]).collect();
            json!({ "name": column, "type": data_type, "description": described(column).map_or("", |known| &known.description), "tests": on })
        })
        .collect();
    if columns.is_empty() {
        columns = node.columns.iter().map(|column| json!({ "name": column.name, "type": column.data_type, "description": column.description, "tests": [] })).collect();
    }
    let mut data = told_node(project, things, node, true);
    for (key, value) in [
        ("columns", json!(columns)),
        ("tests", json!(tests)),
        ("raw_sql", json!(node.raw_code)),
        ("compiled_sql", json!(compiled)),
        ("parents", json!(near(project, &manifest.parent_map, &node.unique_id))),
        ("children", json!(near(project, &manifest.child_map, &node.unique_id))),
        ("command", json!(command(project, "show", &node.name))),
    ] {
        data[key] = value;
    }
    page.finish(data)
}

/// A command about one node; tables elsewhere are those of the target that is named.
fn command(project: &Project, verb: &str, name: &str) -> String {
    match project.target.adapter {
        Adapter::Clicktrail => format!("clicktrail {verb} -s {name}"),
        _ => format!("clicktrail {verb} -s {name} --target {}", project.target.name),
    }
}

fn near(project: &Project, map: &BTreeMap<String, Vec<String>>, id: &str) -> Vec<Value> {
    let told = |id: &String| {
        if let Some(source) = project.manifest.sources.get(id) {
            let name = format!("{}.{}", source.source_name, source.name);
            return Some(json!({ "name": name, "resource_type": "source" }));
        }
        let node = project.manifest.nodes.get(id).filter(|node| is_relation(node))?;
        Some(json!({ "name": node.name, "resource_type": node.resource_type.as_str() }))
    };
    map.get(id).into_iter().flatten().filter_map(told).collect()
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

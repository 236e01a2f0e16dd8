use std::path::PathBuf;

use clicktrail_pipeline::Problem;

use super::*;

fn node(kind: &str, name: &str, status: Status) -> NodeResult {
    NodeResult {
        unique_id: format!("{kind}.shop.{name}"),
        name: name.into(),
        resource_type: kind.into(),
        materialized: String::new(),
        status,
        rows: None,
        failures: None,
        seconds: 0.31,
        message: String::new(),
        problem: None,
        failures_table: None,
        cost: None,
    }
}

fn summary(results: Vec<NodeResult>) -> RunSummary {
    RunSummary { command: "build".into(), results, seconds: 1.9 }
}

fn sample() -> RunSummary {
    let problem = Problem {
        code: "E3001".into(),
        message: "column `utm_sorce` does not exist".into(),
        hint: Some("did you mean `utm_source`?".into()),
        file: Some(PathBuf::from("models/int_touchpoints.sql")),
        line: Some(14),
        column: Some(5),
        length: 9,
        compiled: None,
    };
    summary(vec![
        NodeResult {
            materialized: "incremental".into(),
            rows: Some(218_404),
            message: "2 days".into(),
            ..node("model", "stg_events", Status::Success)
        },
        NodeResult { materialized: "view".into(), ..node("model", "base", Status::Success) },
        NodeResult { rows: Some(1), ..node("seed", "source_categories", Status::Success) },
        NodeResult { failures: Some(0), ..node("test", "not_null_id", Status::Pass) },
        NodeResult { failures: Some(3), ..node("test", "accepted_channels", Status::Warn) },
        NodeResult {
            failures: Some(1),
            failures_table: Some("dbt_test__audit.unique_id".into()),
            ..node("unit_test", "unique_id", Status::Fail)
        },
        NodeResult {
            materialized: "table".into(),
            problem: Some(problem),
            ..node("model", "int_touchpoints", Status::Error)
        },
        node("model", "fct_credits", Status::Skipped),
        node("test", "conservation", Status::Skipped),
    ])
}

#[test]
fn a_run_with_everything() {
    let terminal = Terminal::plain();
    let summary = sample();
    let plan = RunPlan {
        command: "build".into(),
        target: "local".into(),
        counts: [14, 1, 41, 0],
        threads: 8,
    };
    let mut lines = vec![plan_line(&plan)];
    lines.extend(summary.results.iter().map(|result| node_line(result, &terminal)));
    lines.push(closing(&summary, Source::default(), &terminal));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_quiet_run_without_problems_is_one_line() {
    let terminal = Terminal { quiet: true, ..Terminal::plain() };
    let summary = summary(vec![node("model", "a", Status::Success)]);
    let text = closing(&summary, Source::default(), &terminal);
    assert_eq!(text, "  Done. PASS=1 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=1");
}

#[test]
fn a_flood_of_problems_is_cut() {
    let bad = sample().results.remove(6);
    let text = closing(&summary(vec![bad; 12]), Source::default(), &Terminal::plain());
    assert_eq!(text.matches("error[E3001]").count(), PROBLEMS_DRAWN_MAX);
    assert!(text.contains("2 more problems in target/run_results.json"), "{text}");
}

#[test]
fn colours_only_when_wanted() {
    let result = node("model", "a", Status::Success);
    assert!(!node_line(&result, &Terminal::plain()).contains('\x1b'));
    let coloured = Terminal { color: true, ..Terminal::plain() };
    assert!(node_line(&result, &coloured).contains("\x1b[32m✓\x1b[0m"));
}

#[test]
fn counts_follow_dbt() {
    let counts = counts(&sample());
    assert_eq!(counts["pass"], 4);
    assert_eq!(counts["warn"], 1);
    assert_eq!(counts["error"], 2);
    assert_eq!(counts["skip"], 2);
    assert_eq!(counts["total"], 9);
}

#[test]
fn numbers_and_durations() {
    assert_eq!(count(0, "row", "rows"), "0 rows");
    assert_eq!(count(1_234_567, "row", "rows"), "1,234,567 rows");
    assert_eq!(duration(0.0), "0.00s");
    assert_eq!(duration(59.999), "1m 00s");
    assert_eq!(duration(3_725.4), "62m 05s");
}

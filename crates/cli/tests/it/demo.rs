//! The whole way, on generated data: the contract between this crate and the pipeline.

use std::fs;

use insta::assert_snapshot;

use crate::support::{Folder, filtered};

/// `PASS` of a `Done.` line.
fn done(line: &str, heading: &str) -> usize {
    let from = line.find(&format!("{heading}=")).unwrap_or_else(|| panic!("{line}"));
    let digits = line[from + heading.len() + 1..].split(' ').next().unwrap();
    digits.parse().unwrap()
}

#[test]
fn demo_data_is_there_at_once() {
    let folder = Folder::new();
    let said = folder.run(&["init", "shop", "--demo"]).code(0);
    assert_eq!(said.out, "cd shop && clicktrail build\n");
    assert_eq!(fs::read_dir(folder.path("shop/data/ga4")).unwrap().count(), 60);
    let project = fs::read_to_string(folder.path("shop/dbt_project.yml")).unwrap();
    assert!(project.contains("\n  ga4_export: data/ga4/events_*.parquet\n"), "{project}");
}

#[test]
fn generate_is_repeatable() {
    let folder = Folder::new();
    let generate = |out: &str, format: &str, threads: &str| {
        let sizes = ["--days", "3", "--events", "2k", "--seed", "7", "--threads", threads];
        let places = ["--out", out, "--format", format, "-o", "json"];
        folder.run(&[&["generate"][..], &sizes, &places].concat()).code(0).json()
    };
    let one = generate("a", "parquet", "1");
    let two = generate("b", "parquet", "2");
    assert_eq!(one["events"], two["events"]);
    assert_eq!(one["files"].as_array().unwrap().len(), 3);
    for file in fs::read_dir(folder.path("a")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let bytes = |side: &str| fs::read(folder.path(&format!("{side}/{name}"))).unwrap();
        assert!(bytes("a") == bytes("b"), "{name}");
    }
    let text = generate("c", "ndjson.gz", "2");
    assert_eq!(one["events"], text["events"]);
}

#[test]
fn debug_tells_what_is_well_and_what_is_not() {
    let folder = Folder::with_demo();
    let well = folder.shop(&["debug"]).code(0);
    assert!(well.out.ends_with("All checks passed\n"), "{}", well.out);
    assert_eq!(well.err, "");
    let bad = folder.shop(&["debug", "--vars", "{ga4_export: nowhere/*.parquet}"]).code(1);
    assert!(bad.out.contains("✗ ") && bad.out.contains("fix: "), "{}", bad.out);
    assert!(bad.out.contains("(from --vars)"), "{}", bad.out);
    let json = folder.shop(&["debug", "--output", "json"]).code(0).json();
    assert_eq!(json["ok"], true);
}

#[test]
fn build_then_query() {
    let folder = Folder::with_demo();
    let build = folder.shop(&["build"]).code(0);
    assert_eq!(build.out, "");
    let last = build.last();
    assert!(last.starts_with("  Done. PASS="), "{last}");
    assert_eq!(done(last, "ERROR"), 0);
    assert_eq!(done(last, "SKIP"), 0);
    let good = build.err.lines().filter(|line| line.starts_with("  ✓ ")).count();
    assert_eq!(good, done(last, "PASS"), "{}", build.err);
    assert!(build.err.contains("\n  Finished build in "), "{}", build.err);
    assert!(folder.path("shop/target/logs/clicktrail.log").exists());
    assert!(folder.path("shop/target/run_results.json").exists());
    assert!(folder.path("shop/target/manifest.json").exists());

    let sql = "select channel, count(*) as n from mart_last_click \
        group by 1 order by 2 desc limit 3";
    let csv = folder.shop(&["query", sql, "-o", "csv"]).code(0);
    assert!(csv.out.starts_with("channel,n\n"), "{}", csv.out);
    assert_eq!(csv.err, "(3 rows)\n");
    let json = folder.shop(&["query", sql, "-o", "json", "-q"]).code(0);
    assert_eq!(json.json().as_array().unwrap().len(), 3);
    assert_eq!(json.err, "");
    folder.shop(&["query", sql, "--out", "rows.parquet"]).code(0);
    assert!(fs::read(folder.path("shop/rows.parquet")).unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_second_build_repeats_the_result() {
    let folder = Folder::with_demo();
    let rows = || {
        folder.shop(&["build", "-q"]).code(0);
        let sql = "select * from mart_attribution_daily order by 1, 2, 3, 4, 5, 6";
        folder.shop(&["query", sql, "-o", "csv"]).code(0).out
    };
    let first = rows();
    assert!(first.lines().count() > 10, "{first}");
    assert_eq!(first, rows());
}

#[test]
fn run_test_and_selectors() {
    let folder = Folder::with_demo();
    folder.shop(&["seed", "-q"]).code(0);
    let run = folder.shop(&["run", "-s", "+int_sessions", "--output", "json"]).code(0).json();
    assert_eq!(run["schema_version"], 1);
    assert_eq!(run["counts"]["total"], run["results"].as_array().unwrap().len());
    let names: Vec<&str> =
        run["results"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"stg_events") && names.contains(&"int_sessions"), "{names:?}");
    assert!(!names.contains(&"fct_credits"), "{names:?}");
    folder.shop(&["test", "-s", "int_sessions"]).code(0);

    let none = folder.shop(&["run", "-s", "int_sesions"]).code(1);
    assert!(none.err.starts_with("error[E1041]"), "{}", none.err);
    assert!(none.err.contains("did you mean `int_sessions`?"), "{}", none.err);
    folder.shop(&["run", "-s", "int_sesions", "--allow-empty"]).code(0);
}

#[test]
fn events_for_programs() {
    let folder = Folder::with_demo();
    folder.shop(&["seed", "-q"]).code(0);
    let said = folder.shop(&["run", "-s", "+stg_events", "--log-format", "json"]).code(0);
    let events: Vec<serde_json::Value> =
        said.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().filter_map(|one| one["event"].as_str()).collect();
    assert_eq!(names.first(), Some(&"planned"), "{names:?}");
    assert_eq!(names.last(), Some(&"done"), "{names:?}");
    assert!(names.contains(&"node_finished"), "{names:?}");
    assert!(events.iter().all(|one| one["schema_version"] == 1));
}

#[test]
fn a_mistake_in_a_model_is_drawn_at_its_line() {
    let folder = Folder::with_demo();
    let model = folder.path("shop/models/marts/mart_mistake.sql");
    let mistake = "select\n    user_pseudo_id,\n    sesion_key\nfrom {{ ref('int_sessions') }}\n";
    fs::write(&model, mistake).unwrap();
    let after = folder.path("shop/models/marts/mart_after.sql");
    fs::write(&after, "select * from {{ ref('mart_mistake') }}\n").unwrap();
    let said = folder.shop(&["build", "-s", "+mart_after"]).code(1);
    assert!(said.err.contains("error[E3001]"), "{}", said.err);
    assert!(said.err.contains("models/marts/mart_mistake.sql:3:5"), "{}", said.err);
    assert!(said.err.contains("did you mean `session_key`?"), "{}", said.err);
    assert!(said.err.contains("clicktrail explain E3001"), "{}", said.err);
    // Tests that also read models outside the selection are skipped, as `mart_after` is.
    assert_eq!(done(said.last(), "ERROR"), 1, "{}", said.err);
    assert!(done(said.last(), "SKIP") >= 1, "{}", said.err);

    fs::write(&model, mistake.replace("sesion", "session")).unwrap();
    let retry = folder.shop(&["retry"]).code(0);
    assert_eq!(done(retry.last(), "ERROR"), 0, "{}", retry.err);
    assert!(done(retry.last(), "PASS") >= 2, "{}", retry.err);
}

#[test]
fn mistakes_in_a_query() {
    let folder = Folder::with_demo();
    folder.shop(&["build", "-q", "-s", "+stg_events"]).code(0);
    let said = folder.shop(&["query", "select evnt_name from stg_events"]).code(1);
    assert!(said.err.contains("<query>:1:8"), "{}", said.err);
    let write = folder.shop(&["query", "drop table stg_events"]).code(1);
    assert!(write.err.starts_with("error["), "{}", write.err);
}

#[test]
fn list_compile_show() {
    let folder = Folder::with_demo();
    let models = folder.shop(&["ls", "--resource-type", "model", "--output", "name"]).code(0).out;
    assert!(models.lines().any(|line| line == "stg_events"), "{models}");
    assert!(!models.contains("ga4.events"), "{models}");
    let json = folder.shop(&["ls", "-s", "stg_events", "--output", "json"]).code(0).out;
    for line in json.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].is_string());
    }
    let sql = folder.shop(&["compile", "-s", "stg_events", "--exclude", "resource_type:test"]);
    assert!(sql.code(0).out.to_lowercase().contains("select"));
    assert!(folder.path("shop/target/compiled").exists());
    folder.shop(&["build", "-q", "-s", "+stg_events"]).code(0);
    let inline = "select count(*) as n from {{ ref('stg_events') }}";
    let count = folder.shop(&["show", "--inline", inline, "-o", "csv", "-q"]).code(0).out;
    assert!(count.lines().nth(1).unwrap().parse::<u64>().unwrap() > 100_000, "{count}");
    let rows = folder.shop(&["show", "-s", "stg_events", "--limit", "2", "-o", "ndjson"]).code(0);
    assert_eq!((rows.out.lines().count(), rows.err.as_str()), (2, "(2 rows)\n"));
}

#[test]
fn docs_freshness_and_clean() {
    let folder = Folder::with_demo();
    folder.shop(&["build", "-q", "-s", "+stg_events"]).code(0);
    let page = folder.shop(&["docs", "generate", "-q"]).code(0).out;
    assert!(page.trim_end().ends_with("index.html"), "{page}");
    assert!(folder.path("shop/target/catalog.json").exists());
    // The demo's days are over: old, but only a warning.
    let fresh = folder.shop(&["source", "freshness"]).code(0);
    assert!(fresh.last().contains("WARN=1"), "{}", fresh.err);
    assert!(folder.path("shop/target/sources.json").exists());
    folder.shop(&["clean"]).code(0);
    assert!(!folder.path("shop/target").exists());
    assert!(folder.path("shop/warehouse").exists());
}

#[test]
fn no_project_no_export() {
    let folder = Folder::new();
    let nothing = folder.run(&["build"]).code(1);
    filtered(&folder, || assert_snapshot!("no_project", nothing.err));
    folder.run(&["init", "shop"]).code(0);
    let said = folder.shop(&["build"]).code(1);
    assert!(said.err.contains("[E2001]") || said.err.contains("[E3003]"), "{}", said.err);
}

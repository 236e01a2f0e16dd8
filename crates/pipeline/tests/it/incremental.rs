//! dbt's ways of building, on a small project written here.

use std::collections::BTreeMap;

use clicktrail_pipeline::{RunRequest, RunSummary, Silent, Status, Verb};
use clicktrail_project::SelectArgs;

use super::support::{Answers, Shop, good, result, statuses, words};

const PROJECT: &str = "name: small\nversion: '1.0'\nconfig-version: 2\nprofile: small\n\
    model-paths: [models]\nseed-paths: [seeds]\ntest-paths: [tests]\nmacro-paths: [macros]\n";
const PROFILES: &str = "small:\n  target: local\n  outputs:\n    local: {type: clicktrail, path: warehouse, threads: 2}\n";

/// A project with the seed `orders` (id, day, amount).
fn project() -> Shop {
    let shop = Shop::empty();
    shop.write("dbt_project.yml", PROJECT);
    shop.write("profiles.yml", PROFILES);
    orders(&shop, &[(1, "2026-01-01", 10), (2, "2026-01-01", 20), (3, "2026-01-02", 30)]);
    shop
}

fn orders(shop: &Shop, rows: &[(i64, &str, i64)]) {
    let rows: Vec<String> =
        rows.iter().map(|(id, day, amount)| format!("{id},{day},{amount}")).collect();
    shop.write("seeds/orders.csv", format!("id,day,amount\n{}\n", rows.join("\n")));
}

fn model(shop: &Shop, name: &str, sql: &str) {
    shop.write(&format!("models/{name}.sql"), sql);
}

fn build(shop: &Shop) -> RunSummary {
    shop.execute(&RunRequest::new(Verb::Build)).unwrap()
}

fn build_with(shop: &Shop, change: impl FnOnce(&mut RunRequest)) -> RunSummary {
    let mut request = RunRequest::new(Verb::Build);
    change(&mut request);
    shop.execute(&request).unwrap()
}

fn select(texts: &[&str]) -> SelectArgs {
    SelectArgs { select: words(texts), ..SelectArgs::default() }
}

/// A model that on later runs only gives what the seed holds then.
fn incremental(config: &str) -> String {
    format!(
        "{{{{ config(materialized='incremental', {config}) }}}}\n\
         select id, day, amount, {{% if is_incremental() %}}'later'{{% else %}}'first'{{% endif %}} as run\n\
         from {{{{ ref('orders') }}}}\n"
    )
}

/// Builds, changes the seed to orders 2 and 4 (both on day 2), builds again.
fn twice(config: &str) -> (Shop, RunSummary) {
    let shop = project();
    model(&shop, "facts", &incremental(config));
    good(build(&shop));
    orders(&shop, &[(2, "2026-01-02", 21), (4, "2026-01-02", 40)]);
    let second = build(&shop);
    (shop, second)
}

fn facts(shop: &Shop) -> Vec<String> {
    shop.rows("select id, amount, run from facts")
}

#[test]
fn merge_replaces_rows_of_the_key() {
    let expected = ["1|10|first", "2|21|later", "3|30|first", "4|40|later"];
    for config in [
        "unique_key='id'",
        "unique_key='id', incremental_strategy='merge'",
        "unique_key=['id'], incremental_strategy='delete+insert'",
    ] {
        let (shop, second) = twice(config);
        good(second);
        assert_eq!(facts(&shop), expected, "{config}");
    }
}

#[test]
fn append_keeps_everything() {
    for config in ["incremental_strategy='append'", "on_schema_change='ignore'"] {
        let (shop, second) = twice(config);
        good(second);
        assert_eq!(
            facts(&shop),
            ["1|10|first", "2|20|first", "2|21|later", "3|30|first", "4|40|later"]
        );
    }
}

#[test]
fn insert_overwrite_replaces_partitions() {
    let partition = "partition_by={'field': 'day', 'data_type': 'date'}";
    let (shop, second) = twice(&format!("incremental_strategy='insert_overwrite', {partition}"));
    good(second);
    // Day 2 is what the second run gave; day 1 is untouched.
    assert_eq!(facts(&shop), ["1|10|first", "2|20|first", "2|21|later", "4|40|later"]);
    let (_, second) = twice("incremental_strategy='insert_overwrite'");
    let problem = result(&second, "facts").problem.clone().unwrap();
    assert!(problem.message.contains("without `partition_by`"), "{problem:?}");
}

#[test]
fn delete_insert_takes_all_rows_of_a_key() {
    let (shop, second) = twice("unique_key='day', incremental_strategy='delete+insert'");
    good(second);
    assert_eq!(facts(&shop), ["1|10|first", "2|20|first", "2|21|later", "4|40|later"]);
}

#[test]
fn a_merge_of_repeated_keys_is_refused() {
    let (shop, second) = twice("unique_key='day'");
    let failed = result(&second, "facts");
    assert_eq!(failed.status, Status::Error);
    let problem = failed.problem.clone().unwrap();
    assert!(problem.message.contains("repeat the unique key (day)"), "{problem:?}");
    assert_eq!(facts(&shop), ["1|10|first", "2|20|first", "3|30|first"]);
}

#[test]
fn full_refresh_starts_again() {
    let (shop, _) = twice("unique_key='id'");
    good(build_with(&shop, |request| request.full_refresh = true));
    assert_eq!(facts(&shop), ["2|21|first", "4|40|first"]);
}

/// The table after the model got a column and lost another.
fn changed_columns(on_schema_change: &str) -> (Shop, RunSummary) {
    let shop = project();
    let sql = |columns: &str| {
        format!(
            "{{{{ config(materialized='incremental', unique_key='id', on_schema_change='{on_schema_change}') }}}}\n\
             select id, {columns} from {{{{ ref('orders') }}}}\n"
        )
    };
    model(&shop, "facts", &sql("amount"));
    good(build(&shop));
    orders(&shop, &[(4, "2026-01-03", 40)]);
    model(&shop, "facts", &sql("day, 'x' as extra"));
    let second = build(&shop);
    (shop, second)
}

#[test]
fn columns_may_change_as_the_config_says() {
    let columns = |shop: &Shop| {
        let schema = shop.open().unwrap().query("select * from facts").unwrap().schema;
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(",")
    };
    let (shop, second) = changed_columns("ignore");
    good(second);
    assert_eq!(columns(&shop), "id,amount");
    assert_eq!(shop.rows("select * from facts where id in (1, 4)"), ["1|10", "4|∅"]);

    let (shop, second) = changed_columns("append_new_columns");
    good(second);
    assert_eq!(columns(&shop), "id,amount,day,extra");
    assert_eq!(
        shop.rows("select * from facts where id in (1, 4)"),
        ["1|10|∅|∅", "4|∅|2026-01-03|x"]
    );

    let (shop, second) = changed_columns("sync_all_columns");
    good(second);
    assert_eq!(columns(&shop), "id,day,extra");
    assert_eq!(shop.rows("select * from facts where id in (1, 4)"), ["1|∅|∅", "4|2026-01-03|x"]);

    let (shop, second) = changed_columns("fail");
    let problem = result(&second, "facts").problem.clone().unwrap();
    assert!(problem.message.contains("columns of `facts` changed"), "{problem:?}");
    assert_eq!(columns(&shop), "id,amount");
    assert_eq!(shop.rows("select count(*) from facts"), ["3"]);
}

#[test]
fn views_and_ephemeral_models_keep_no_rows() {
    let shop = project();
    model(
        &shop,
        "seen",
        "{{ config(materialized='view') }} select id, amount from {{ ref('orders') }}",
    );
    model(
        &shop,
        "thin",
        "{{ config(materialized='ephemeral') }} select * from {{ ref('seen') }} where id > 1",
    );
    model(
        &shop,
        "total",
        "{{ config(materialized='table') }} select sum(amount) as amount from {{ ref('thin') }}",
    );
    good(build(&shop));
    assert_eq!(shop.value("select amount from total"), "50");
    assert_eq!(shop.tables(), ["total", "orders"]);
    orders(&shop, &[(7, "2026-01-01", 1)]);
    good(shop.run(Verb::Seed, &[]));
    // A view shows the seed of now, a table that of its build.
    assert_eq!(shop.value("select amount from seen"), "1");
    assert_eq!(shop.value("select amount from total"), "50");
}

#[test]
fn seeds_are_loaded_when_they_change() {
    let shop = project();
    shop.write(
        "seeds/seeds.yml",
        "version: 2\nseeds:\n  - name: orders\n    config: {column_types: {amount: double}}\n",
    );
    good(build(&shop));
    assert_eq!(shop.rows("select amount from orders"), ["10.0", "20.0", "30.0"]);
    let again = good(build(&shop));
    assert_eq!(result(&again, "orders").message, "unchanged");
    shop.write("seeds/orders.csv", "id,day,amount\n1,2026-01-01,many\n");
    let broken = build(&shop);
    let problem = result(&broken, "orders").problem.clone().unwrap();
    assert!(problem.message.contains("many"), "{problem:?}");
    assert_eq!(shop.rows("select amount from orders"), ["10.0", "20.0", "30.0"]);
}

/// `facts` with one data test of the given config, and `below` that reads it.
fn tested(config: &str) -> Shop {
    let shop = project();
    model(&shop, "facts", "{{ config(materialized='table') }} select * from {{ ref('orders') }}");
    model(&shop, "below", "{{ config(materialized='table') }} select * from {{ ref('facts') }}");
    shop.write(
        "models/facts.yml",
        format!(
            "version: 2\nmodels:\n  - name: facts\n    columns:\n      - name: amount\n        data_tests:\n\
             \x20         - accepted_values:\n              name: known\n              arguments: {{values: [10, 20], quote: false}}\n\
             \x20             config: {config}\n"
        ),
    );
    shop
}

#[test]
fn a_failed_test_holds_back_what_follows() {
    let shop = tested("{severity: error}");
    let summary = build(&shop);
    assert!(summary.failed());
    assert_eq!(result(&summary, "known").status, Status::Fail);
    assert_eq!(result(&summary, "known").failures, Some(1));
    assert_eq!(result(&summary, "facts").status, Status::Success);
    assert_eq!(result(&summary, "below").status, Status::Skipped);
}

#[test]
fn severity_where_and_thresholds_decide() {
    let cases: [(&str, Status); 7] = [
        ("{severity: warn}", Status::Warn),
        ("{where: 'amount < 30'}", Status::Pass),
        ("{where: 'amount > 10'}", Status::Fail),
        ("{error_if: '> 1'}", Status::Warn),
        ("{error_if: '> 1', warn_if: '> 1'}", Status::Pass),
        ("{warn_if: '>= 1', severity: warn}", Status::Warn),
        ("{error_if: '>= 1'}", Status::Fail),
    ];
    for (config, expected) in cases {
        let shop = tested(config);
        let summary = build(&shop);
        assert_eq!(result(&summary, "known").status, expected, "{config}");
        let below = if expected == Status::Fail { Status::Skipped } else { Status::Success };
        assert_eq!(result(&summary, "below").status, below, "{config}");
    }
    let summary = build_with(&tested("{severity: warn}"), |request| request.warn_error = true);
    assert_eq!(result(&summary, "known").status, Status::Fail);
}

#[test]
fn failing_rows_can_be_kept() {
    let shop = tested("{store_failures: true}");
    let summary = build(&shop);
    let table = result(&summary, "known").failures_table.clone().unwrap();
    assert_eq!(shop.rows(&format!("select * from \"{table}\"")), ["30|1"]);
    let shop = tested("{severity: warn}");
    let summary = build_with(&shop, |request| request.store_failures = true);
    let table = result(&summary, "known").failures_table.clone().unwrap();
    assert_eq!(shop.value(&format!("select count(*) from \"{table}\"")), "1");
}

/// `a` → `b`, `c` apart; `a` can be broken.
fn chain(a: &str) -> Shop {
    let shop = project();
    broken(&shop, a);
    model(
        &shop,
        "b",
        "{{ config(materialized='table', tags=['fine']) }} select * from {{ ref('a') }}",
    );
    model(&shop, "sub/c", "{{ config(materialized='table') }} select 3 as x");
    shop
}

fn broken(shop: &Shop, sql: &str) {
    model(shop, "a", &format!("{{{{ config(materialized='table') }}}} {sql}"));
}

#[test]
fn retry_repeats_what_failed() {
    let shop = chain("select cast('x' as bigint) as x");
    let first = build(&shop);
    let expected = [
        ("a", Status::Error),
        ("b", Status::Skipped),
        ("c", Status::Success),
        ("orders", Status::Success),
    ];
    assert_eq!(statuses(&first), expected.map(|(name, status)| (name.to_owned(), status)).into());
    broken(&shop, "select 1 as x");
    let second = shop.open().unwrap().retry(&Silent).unwrap();
    let expected: BTreeMap<String, Status> =
        [("a".to_owned(), Status::Success), ("b".to_owned(), Status::Success)].into();
    assert_eq!(statuses(&second), expected);
    let third = shop.open().unwrap().retry(&Silent).unwrap();
    assert!(third.results.is_empty());
}

#[test]
fn fail_fast_stops() {
    let shop = chain("select cast('x' as bigint) as x");
    model(&shop, "z", "{{ config(materialized='table') }} select * from {{ ref('c') }}");
    let summary = build_with(&shop, |request| request.fail_fast = true);
    assert!(summary.failed());
    assert!(summary.count(Status::Skipped) >= 2, "{:?}", statuses(&summary));
    assert_eq!(result(&summary, "z").status, Status::Skipped);
}

#[test]
fn results_and_states_select() {
    let shop = chain("select cast('x' as bigint) as x");
    build(&shop);
    shop.write("state/manifest.json", shop.read("target/manifest.json"));
    shop.write("state/run_results.json", shop.read("target/run_results.json"));
    broken(&shop, "select 2 as x");
    let state = Some(shop.path("state"));
    let chosen = |text: &str| {
        let args = SelectArgs { state: state.clone(), ..select(&[text]) };
        statuses(&build_with(&shop, |request| request.select = args))
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(chosen("result:error+"), ["a", "b"]);
    assert_eq!(chosen("state:modified"), ["a"]);
    assert_eq!(chosen("state:modified+"), ["a", "b"]);
    assert_eq!(shop.value("select x from b"), "2");
}

#[test]
fn selectors_choose_nodes() {
    let shop = chain("select 1 as x");
    shop.write("tests/none.sql", "select * from {{ ref('b') }} where x = 0");
    good(build(&shop));
    let chosen = |include: &[&str], exclude: &[&str]| {
        let args = SelectArgs { exclude: words(exclude), ..select(include) };
        statuses(&build_with(&shop, |request| request.select = args))
            .into_keys()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(chosen(&["+b"], &[]), "a b none");
    assert_eq!(chosen(&["a+"], &["none"]), "a b");
    assert_eq!(chosen(&["tag:fine"], &["test_type:singular"]), "b");
    assert_eq!(chosen(&["path:models/sub"], &[]), "c");
    assert_eq!(chosen(&["a", "c"], &[]), "a c");
    assert_eq!(chosen(&["a+,b"], &["test_type:singular"]), "b");
    assert_eq!(chosen(&["test_type:singular"], &[]), "none");
    let nothing = select(&["bb"]);
    let request = RunRequest { select: nothing, ..RunRequest::new(Verb::Build) };
    let error = shop.execute(&request).unwrap_err();
    assert!(
        error.hint().is_some_and(|hint| hint.contains("did you mean")),
        "{:?}",
        error.problem()
    );
}

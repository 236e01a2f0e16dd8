//! `fit`, `what-if` and `erase` on one small project, and `fit` on files of paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{Folder, Said};

fn project() -> Folder {
    let folder = Folder::new();
    folder.run(&["init", "shop"]).code(0);
    let sizes = ["--days", "21", "--events", "25k", "--seed", "11"];
    folder.run(&[&["generate", "--out", "shop/data"][..], &sizes].concat()).code(0);
    let file = folder.path("shop/dbt_project.yml");
    let project = fs::read_to_string(&file).unwrap();
    let line = project.lines().find(|line| line.starts_with("  ga4_export:")).unwrap();
    let project = project.replace(line, "  ga4_export: data/events_*.parquet");
    fs::write(
        &file,
        project.replace("    # - markov\n    # - shapley", "    - markov\n    - shapley"),
    )
    .unwrap();
    folder.shop(&["seed", "-q"]).code(0);
    folder.shop(&["run", "-q"]).code(0);
    folder
}

fn csv(said: &Said) -> Vec<BTreeMap<String, String>> {
    let mut lines = said.out.lines().map(|line| line.split(',').map(str::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines.map(|line| header.iter().cloned().zip(line).collect()).collect()
}

fn query(folder: &Folder, sql: &str) -> Vec<BTreeMap<String, String>> {
    csv(&folder.shop(&["query", "-q", "-o", "csv", sql]).code(0))
}

#[test]
fn a_project_is_fitted_questioned_and_a_person_erased() {
    let folder = project();
    fit_is_stored_and_applied(&folder);
    what_if_moves_and_publishes_nothing(&folder);
    erasing_leaves_nothing(&folder);
}

fn fit_is_stored_and_applied(folder: &Folder) {
    let credited = "select attribution_model, event_name, count(distinct conversion_id) as conversions, \
                    sum(credit_micros) as micros from fct_credits \
                    where attribution_model in ('markov', 'shapley', 'last_click') group by 1, 2 order by 1";
    let none: Vec<_> = query(folder, credited);
    assert_eq!(
        none.iter().map(|row| row["attribution_model"].as_str()).collect::<Vec<_>>(),
        ["last_click"]
    );
    assert_eq!(query(folder, "select count(*) as n from weights_markov")[0]["n"], "0");
    let few = folder.shop(&["fit", "--min-conversions", "100000"]).code(1);
    assert!(few.err.contains("E4201") && few.err.contains("fewer than 100000"), "{}", few.err);
    let unknown = folder.shop(&["fit", "--event", "sign_up"]).code(1);
    assert!(unknown.err.contains("no paths of the key event `sign_up`"), "{}", unknown.err);

    let quick = ["--replicates", "20", "--min-conversions", "5"];
    let shown = folder.shop(&[&["fit", "--dry-run", "-o", "csv"][..], &quick].concat()).code(0);
    assert!(shown.err.contains("nothing is stored"), "{}", shown.err);
    assert_eq!(query(folder, "select count(*) as n from fit_channel_weights")[0]["n"], "0");

    let stored = folder.shop(&[&["fit", "-o", "csv"][..], &quick].concat()).code(0);
    let (rows, dry) = (csv(&stored), csv(&shown));
    // The same fit, but for its name and time.
    for (row, dry) in rows.iter().zip(&dry) {
        for (column, value) in
            row.iter().filter(|pair| !["fit_id", "fitted_at"].contains(&pair.0.as_str()))
        {
            assert_eq!(value, &dry[column], "{column}");
        }
    }
    let sums = query(
        folder,
        "select attribution_model, round(sum(share), 6) as share, sum(conversions) as conversions, \
         count(distinct fit_id) as fits, min(lower) >= 0 as sound from fit_channel_weights \
         where event_name = 'purchase' group by 1 order by 1",
    );
    let conversions =
        query(folder, "select sum(converted) as n from mart_paths where event_name = 'purchase'");
    assert_eq!(sums.len(), 2);
    for (sum, model) in sums.iter().zip(["markov", "shapley"]) {
        assert_eq!((sum["attribution_model"].as_str(), sum["share"].as_str()), (model, "1.000000"));
        assert_eq!(sum["conversions"], format!("{}.000000", conversions[0]["n"]));
        assert_eq!((sum["fits"].as_str(), sum["sound"].as_str()), ("1", "true"));
    }

    // A second one is the current one, and the first is kept.
    folder
        .shop(&[&["fit", "--order", "2", "--build", "-q", "-o", "csv"][..], &quick].concat())
        .code(0);
    let kept = query(
        folder,
        "select markov_order, is_current, count(distinct fit_id) as fits from fit_channel_weights \
         where attribution_model = 'markov' group by 1, 2 order by 1",
    );
    let told: Vec<(&str, &str)> =
        kept.iter().map(|row| (row["markov_order"].as_str(), row["is_current"].as_str())).collect();
    assert_eq!(told, [("1", "false"), ("2", "true")]);
    // Each conversion is divided once by each, to the millionth.
    let applied = query(folder, credited);
    let models: Vec<&str> = applied.iter().map(|row| row["attribution_model"].as_str()).collect();
    assert_eq!(models, ["last_click", "markov", "shapley"]);
    for row in &applied {
        assert_eq!(row["conversions"], applied[0]["conversions"]);
        assert_eq!(row["micros"], format!("{}000000", row["conversions"]));
    }
    // Every touch of a fitted key event has a weight, and repeats of a channel share it.
    let weights = query(
        folder,
        "select count(*) as touches, count(weight) as weights, min(weight) as least, \
         (select count(*) from int_journeys) as all_touches from weights_markov",
    );
    assert_eq!(weights[0]["touches"], weights[0]["all_touches"]);
    assert!(weights[0]["least"].parse::<i64>().unwrap() >= 0);
    let spread = query(
        folder,
        "select count(*) as n from (select w.conversion_id, j.channel, sum(w.weight) as weight, \
         max(f.credit_weight) * 1000 as whole, count(*) as touches from weights_markov w \
         join int_journeys j on w.conversion_id = j.conversion_id and w.position = j.position \
         join fit_channel_weights f on f.channel = j.channel and f.is_current \
         and f.attribution_model = 'markov' group by 1, 2) where whole - weight not between 0 and touches - 1",
    );
    assert_eq!(spread[0]["n"], "0");
}

/// Versions of all tables.
fn versions(folder: &Folder) -> BTreeMap<String, usize> {
    let mut versions = BTreeMap::new();
    for entry in fs::read_dir(folder.path("shop/warehouse")).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(log) = fs::read_dir(path.join("_delta_log")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            versions.insert(name, log.count());
        }
    }
    versions
}

fn what_if_moves_and_publishes_nothing(folder: &Folder) {
    let before = versions(folder);
    let results = fs::read(folder.path("shop/target/run_results.json")).unwrap();
    let said = folder.shop(&["what-if", "--set", "lookback_days=1", "-o", "csv", "--all"]).code(0);
    assert!(said.err.contains("nothing was published"), "{}", said.err);
    assert!(!said.err.contains("int_sessions,"), "{}", said.err);
    assert_eq!(versions(folder), before);
    assert_eq!(fs::read(folder.path("shop/target/run_results.json")).unwrap(), results);
    assert!(!folder.path("shop/warehouse/.spill").exists());
    let rows = csv(&said);
    let mut moved: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for row in &rows {
        let sums = moved.entry((row["attribution_model"].as_str(), row["currency"].as_str()));
        *sums.or_default() += row["conversions_moved"].parse::<f64>().unwrap();
    }
    // Conversions move between channels; none comes or goes.
    assert!(moved.len() >= 4 && moved.values().all(|sum| sum.abs() < 1e-6), "{moved:?}");
    let moves = |row: &&BTreeMap<String, String>| {
        ["conversions_moved", "revenue_moved"].iter().any(|sum| row[*sum].parse::<f64>() != Ok(0.0))
    };
    assert!(rows.iter().filter(moves).count() > 0, "{}", said.out);

    // It says what a build with that var gives.
    let only = folder.shop(&["what-if", "--set", "lookback_days=1", "-o", "json"]).code(0);
    let predicted = rows.iter().map(|row| {
        let keys =
            ["attribution_model", "event_name", "channel", "currency"].map(|key| row[key].clone());
        (keys, (row["conversions_if"].clone(), row["revenue_if"].clone()))
    });
    let predicted: BTreeMap<_, _> =
        predicted.filter(|(_, sums)| sums.0.parse() != Ok(0.0)).collect();
    let listed = only.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(rows.iter().filter(moves).count()));
    folder.shop(&["run", "-q", "--vars", "{lookback_days: 1}"]).code(0);
    let built = query(
        folder,
        "select attribution_model, event_name, channel, currency, sum(conversions) as conversions, \
         coalesce(sum(revenue), 0) as revenue from mart_attribution_daily group by 1, 2, 3, 4",
    );
    let built: BTreeMap<_, _> = built
        .iter()
        .map(|row| {
            let keys = ["attribution_model", "event_name", "channel", "currency"]
                .map(|key| row[key].clone());
            (keys, (row["conversions"].clone(), row["revenue"].clone()))
        })
        .collect();
    assert_eq!(predicted, built);

    // Now the tables are those of the other value.
    let stale = folder.shop(&["what-if", "--set", "lookback_days=7"]).code(1);
    assert!(stale.err.contains("was built from other SQL or vars"), "{}", stale.err);
    folder.shop(&["run", "-q"]).code(0);
    let unknown = folder.shop(&["what-if", "--set", "lookback_day=7"]).code(1);
    assert!(unknown.err.contains("did you mean `lookback_days`?"), "{}", unknown.err);
    folder.shop(&["what-if", "--set", "lookback_days"]).code(2);
    let nothing = folder.shop(&["what-if", "--set", "lookback_days=90"]).code(0);
    assert!(nothing.err.contains("nothing would move"), "{}", nothing.err);
}

/// All texts of all Parquet files below a folder, and the bytes of all others.
fn texts_below(dir: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts_below(&path, visit);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            let file = fs::File::open(&path).unwrap();
            let Ok(reader) = ParquetRecordBatchReaderBuilder::try_new(file) else {
                // A file that was begun and has no rows yet, of a version that never came.
                visit(&path, &String::from_utf8_lossy(&fs::read(&path).unwrap()));
                continue;
            };
            let reader = reader.build().unwrap();
            reader.for_each(|batch| texts_of(&batch.unwrap(), &mut |text| visit(&path, text)));
        } else {
            visit(&path, &String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
    }
}

fn texts_of(batch: &RecordBatch, visit: &mut dyn FnMut(&str)) {
    for column in batch.columns() {
        if matches!(
            column.data_type(),
            DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(_, _)
        ) {
            let column = cast(column, &DataType::Utf8).unwrap();
            column.as_string::<i32>().iter().flatten().for_each(&mut *visit);
        } else if column.data_type().is_nested() {
            (0..column.len()).for_each(|row| {
                let value = arrow::util::display::array_value_to_string(column, row).unwrap();
                visit(&value);
            });
        }
    }
}

fn holders(folder: &Folder, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    texts_below(&folder.path("shop/warehouse"), &mut |path, text| {
        if text.contains(id) {
            found.push(path.display().to_string());
        }
    });
    found.dedup();
    found
}

fn erasing_leaves_nothing(folder: &Folder) {
    let person = query(
        folder,
        "select user_pseudo_id as id, count(*) as n from int_conversions where is_counted and user_pseudo_id is not null \
         group by 1 order by 2 desc, 1 limit 1",
    );
    let (id, orders) = (person[0]["id"].clone(), person[0]["n"].parse::<i64>().unwrap());
    let credited = "select count(*) as n, sum(credit_micros) as micros from fct_credits \
                    where attribution_model = 'last_click'";
    let before = query(folder, credited)[0]["n"].parse::<i64>().unwrap();
    assert!(holders(folder, &id).len() > 5, "{:?}", holders(folder, &id));

    query(folder, &format!("select * from int_users where user_pseudo_id = '{id}'"));
    let unasked = folder.shop(&["erase", &id]).code(2);
    assert!(unasked.err.contains("add `--yes`"), "{}", unasked.err);
    folder.shop(&["erase", "x", "--yes"]).code(1);
    let said = folder.shop(&["erase", &id, "--yes", "-o", "json"]).code(0);
    let report = said.json();
    assert_eq!(report["is_clean"], true, "{report}");
    let table = |name: &str| {
        let tables = report["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == name).unwrap().clone()
    };
    assert!(table("int_events")["rows_before"].as_u64().unwrap() > 0);
    assert!(table("int_sessions")["rows_before"].as_u64().unwrap() > 0);
    assert_eq!(table("int_events")["rows_after"], 0);
    assert!(
        table("mart_attribution_daily")["version_after"].as_u64()
            > table("mart_attribution_daily")["version_before"].as_u64()
    );

    let log = fs::read_to_string(folder.path("shop/target/logs/clicktrail.log")).unwrap();
    assert!(log.contains("[erased]") && !log.contains(&id));

    // Nothing below the warehouse holds the id: rows, old files, logs, and the list keeps a hash.
    assert_eq!(holders(folder, &id), Vec::<String>::new());
    let list = fs::read_to_string(folder.path("shop/erased_persons.csv")).unwrap();
    assert!(!list.contains(&id) && list.lines().count() == 2, "{list}");
    assert_eq!(query(folder, credited)[0]["n"].parse::<i64>().unwrap(), before - orders);
    let ledger = query(folder, "select sum(rows_after) as after, count(*) as tables from erasures");
    assert_eq!(ledger[0]["after"], "0");

    // What is built from the export again is the same without the person.
    let tables =
        ["int_events", "int_sessions", "int_journeys", "fct_credits", "mart_attribution_daily"];
    let sums = |folder: &Folder| {
        let counts =
            tables.map(|table| format!("select '{table}' as name, count(*) as n from {table}"));
        query(folder, &format!("{} order by 1", counts.join(" union all ")))
    };
    let erased = sums(folder);
    folder.shop(&["run", "-q", "--full-refresh"]).code(0);
    assert_eq!(sums(folder), erased);
    assert_eq!(holders(folder, &id), Vec::<String>::new());
    // A second time there is nothing left to do.
    let again = folder.shop(&["erase", &id, "--yes", "-o", "json"]).code(0).json();
    let rows = |table: &serde_json::Value| table["rows_before"].as_u64().unwrap();
    assert_eq!(again["tables"].as_array().unwrap().iter().map(rows).sum::<u64>(), 0);
}

#[test]
fn paths_of_a_file_have_the_known_answers() {
    let folder = Folder::new();
    // Section 5 of the attribution semantics, in the columns of the package ChannelAttribution.
    let text = "path,total_conversions,total_null,total_conversion_value\n\
                a > b > a,2,5,20.5\nb > a,3,1,30\na,4,2,0\nb,1,6,9.5\n";
    fs::write(folder.path("looped.csv"), text).unwrap();
    let fit = |more: &[&str]| {
        folder.run(
            &[&["fit", "--paths", "looped.csv", "-o", "csv", "--replicates", "0"], more].concat(),
        )
    };
    let rows = csv(&fit(&["-m", "markov"]).code(0));
    let weight = |at: usize| rows[at]["weight"].parse::<f64>().unwrap();
    assert!((weight(0) - 0.938_889).abs() < 1e-6 && (weight(1) - 0.512_5).abs() < 1e-6, "{rows:?}");
    let rows = csv(&fit(&["-m", "first,last,linear,shapley"]).code(0));
    let of = |model: &str, column: &str| -> Vec<f64> {
        let rows = rows.iter().filter(|row| row["attribution_model"] == model);
        rows.map(|row| row[column].parse().unwrap()).collect()
    };
    assert_eq!(of("first_touch", "conversions"), [6.0, 4.0]);
    assert_eq!(of("last_touch", "value"), [50.5, 9.5]);
    let linear = of("linear", "conversions");
    assert!((linear[0] - (4.0 / 3.0 + 1.5 + 4.0)).abs() < 1e-9, "{linear:?}");
    assert_eq!(of("shapley", "conversions"), [6.5, 3.5]);

    fs::write(folder.path("bad.csv"), "way,converted\na,1\n").unwrap();
    let bad = folder.run(&["fit", "--paths", "bad.csv"]).code(1);
    assert!(bad.err.contains("has no column `path`"), "{}", bad.err);
    fs::write(folder.path("lost.csv"), "path,converted\na,0\nb > a,0\n").unwrap();
    let lost = folder.run(&["fit", "--paths", "lost.csv", "-o", "json"]).code(1);
    assert!(lost.err.contains("none of 2 journeys converted"), "{}", lost.err);
    assert_eq!(lost.json()["error"]["code"], "E4201");
    folder.run(&["fit", "--paths", "looped.csv", "--order", "4"]).code(2);
    folder.run(&["fit", "--paths", "missing.parquet"]).code(1);
}

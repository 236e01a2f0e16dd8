//! "Must show" 4: whatever is wrong, a clear problem, a failed run, and the last good tables as they were.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use chrono::NaiveDate;
use clicktrail_ingest::Format;
use clicktrail_ingest::generate::{GenerateSettings, generate};
use clicktrail_pipeline::{Kind, PipelineError, Problem, RunRequest, RunSummary, Status, Verb};

use super::sample::write_parquet;
use super::support::{Answers, Notes, Shop, good};

/// Where [`killed_runs_leave_whole_tables`] tells its child which project to build.
const CHILD: &str = "CLICKTRAIL_TEST_BUILD_DIR";

/// A demo shop of three built days, and what its tables hold.
struct Built {
    shop: Shop,
    before: BTreeMap<String, String>,
}

impl Built {
    fn new(format: Format) -> Self {
        Self::of(Shop::demo(), format)
    }

    fn of(shop: Shop, format: Format) -> Self {
        generate_days(&shop, 1, 3, 1500, format);
        shop.build_tables();
        let before = shop.contents();
        assert!(before.len() >= 12, "{before:?}");
        Self { shop, before }
    }

    /// Replaces the second day's file.
    fn spoil(&self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let file = self.second_day();
        let bytes = fs::read(&file).unwrap();
        fs::write(file, change(bytes)).unwrap();
    }

    fn second_day(&self) -> PathBuf {
        let mut files: Vec<PathBuf> = fs::read_dir(self.shop.path("data"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files.remove(1)
    }

    /// Runs, and gives everything that was said; nothing may have changed.
    #[track_caller]
    fn fails(&self) -> String {
        let outcome = self.shop.execute(&RunRequest::new(Verb::Run));
        let said = said(self.shop.dir(), outcome);
        assert_eq!(self.shop.contents(), self.before, "tables changed\n{said}");
        said
    }
}

fn generate_days(shop: &Shop, seed: u64, days: u32, events: u64, format: Format) {
    let settings = GenerateSettings {
        seed,
        days,
        events,
        format,
        ..GenerateSettings::starting(NaiveDate::from_ymd_opt(2026, 3, 1).unwrap())
    };
    generate(&settings, &shop.path("data"), &|_, _| {}).unwrap();
}

/// The problems of a failed run.
#[track_caller]
fn said(dir: &Path, outcome: Result<RunSummary, PipelineError>) -> String {
    let problems: Vec<Problem> = match outcome {
        Ok(summary) => {
            assert!(summary.failed(), "the run went well");
            summary.results.into_iter().filter_map(|result| result.problem).collect()
        }
        Err(error) => {
            assert_ne!(error.kind(), Kind::Internal, "{error}");
            vec![error.problem()]
        }
    };
    problems.iter().map(|problem| drawn(problem, dir)).collect()
}

fn drawn(problem: &Problem, dir: &Path) -> String {
    let mut text = format!("error[{}]: {}\n", problem.code, problem.message);
    if let Some(file) = &problem.file {
        let place =
            [problem.line, problem.column].map(|at| at.map_or("-".into(), |at| at.to_string()));
        text += &format!("  at {}:{}\n", file.display(), place.join(":"));
    }
    if let Some(hint) = &problem.hint {
        text += &format!("  hint: {hint}\n");
    }
    text.replace(dir.to_str().unwrap(), "[shop]")
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"/tmp/\.tmp\w+", "[shop]");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

const NDJSON: Format = Format::Ndjson { gzip: false };

#[test]
fn a_truncated_parquet_file() {
    let built = Built::new(Format::Parquet);
    built.spoil(|bytes| bytes[..bytes.len() / 2].to_vec());
    snapshot("truncated_parquet", &built.fails());
}

#[test]
fn a_corrupt_parquet_file() {
    let built = Built::new(Format::Parquet);
    built.spoil(|mut bytes| {
        let half = bytes.len() / 2;
        bytes[4..half].iter_mut().for_each(|byte| *byte ^= 0x5a);
        bytes
    });
    // Which of the damaged pages is met first is the decoder's choice.
    let said = built.fails();
    assert!(
        said.contains("error[E2007]") && said.contains("[shop]/data/events_20260302"),
        "{said}"
    );
}

#[test]
fn a_column_of_a_wrong_type() {
    let built = Built::new(Format::Parquet);
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let time: ArrayRef = Arc::new(Int64Array::from(vec![1_772_452_800_000_000]));
    let rows = RecordBatch::try_from_iter([
        ("event_date", text("20260302")),
        ("event_timestamp", Arc::clone(&time)),
        ("event_name", text("page_view")),
        ("event_params", time),
    ])
    .unwrap();
    write_parquet(&built.second_day(), &rows);
    snapshot("wrong_type", &built.fails());
}

#[test]
fn broken_utf8() {
    let built = Built::new(NDJSON);
    built.spoil(|bytes| {
        let mut lines: Vec<Vec<u8>> =
            bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let quote = lines[4].iter().rposition(|byte| *byte == b'"').unwrap();
        lines[4][quote - 1] = 0xff;
        lines.join(&b'\n')
    });
    let said = built.fails();
    assert!(said.contains(".ndjson:5: invalid UTF-8"), "{said}");
}

/// Cuts the third and the fifth line in half.
fn cut_lines(bytes: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(bytes).unwrap();
    let cut = |(number, line): (usize, &str)| match number {
        2 | 4 => line[..40].to_owned(),
        _ => line.to_owned(),
    };
    let lines: Vec<String> = text.lines().enumerate().map(cut).collect();
    (lines.join("\n") + "\n").into_bytes()
}

#[test]
fn a_bad_json_line() {
    let built = Built::new(NDJSON);
    built.spoil(cut_lines);
    snapshot("bad_json_line", &built.fails());
}

#[test]
fn bad_rows_may_be_allowed_and_are_kept() {
    let built = Built::of(Shop::demo().with("max_bad_rows", 2), NDJSON);
    let staged =
        |shop: &Shop| shop.value("select sum(copies) from int_events").parse::<u64>().unwrap();
    let whole = staged(&built.shop);
    built.spoil(cut_lines);
    let notes = Notes::default();
    let summary = built.shop.open().unwrap().execute(&RunRequest::new(Verb::Run), &notes).unwrap();
    good(summary);
    assert_eq!(staged(&built.shop), whole - 2);
    let rows = built.shop.rows("select file, line, reason <> '', length(raw) from rejected_rows");
    let file = built.second_day();
    let expected = [3, 5].map(|line| format!("{}|{line}|true|40", file.display()));
    assert_eq!(rows, expected);
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.iter().any(|note| note.contains("rejected_rows")), "{notes:?}");
}

#[test]
fn one_bad_row_too_many() {
    let built = Built::of(Shop::demo().with("max_bad_rows", 1), NDJSON);
    built.spoil(cut_lines);
    snapshot("too_many_bad_rows", &built.fails());
}

#[test]
fn an_unknown_config_key() {
    let built = Built::new(Format::Parquet);
    let sql = built.shop.read("models/intermediate/int_users.sql");
    let misspelt = sql.replacen("materialized=", "materialised=", 1);
    built.shop.write("models/intermediate/int_users.sql", misspelt);
    let error = built.shop.open().map(|_| ()).unwrap_err();
    snapshot("unknown_config_key", &drawn(&error.problem(), built.shop.dir()));
    built.shop.write("models/intermediate/int_users.sql", sql);
    assert_eq!(built.shop.contents(), built.before);
}

#[test]
fn an_unknown_column_is_drawn_where_it_stands() {
    let built = Built::new(Format::Parquet);
    let sql = built.shop.read("models/intermediate/int_traffic_sources.sql");
    let wrong = sql.replacen("    channel,\n", "    chanel,\n", 1);
    assert_ne!(wrong, sql);
    built.shop.write("models/intermediate/int_traffic_sources.sql", wrong);
    snapshot("unknown_column", &built.fails());
}

#[test]
fn models_in_a_ring() {
    let built = Built::new(Format::Parquet);
    let users = built.shop.read("models/intermediate/int_users.sql");
    let ring = format!("{users}\n-- depends_on: {{{{ ref('int_user_events') }}}}\n");
    built.shop.write("models/intermediate/int_users.sql", ring);
    let error = built.shop.open().map(|_| ()).unwrap_err();
    snapshot("cycle", &drawn(&error.problem(), built.shop.dir()));
    built.shop.write("models/intermediate/int_users.sql", users);
    assert_eq!(built.shop.contents(), built.before);
}

#[test]
fn missing_files() {
    let built = Built::new(Format::Parquet);
    let Built { shop, before } = built;
    let built = Built { shop: shop.with("ga4_export", "dat/events_*.parquet"), before };
    snapshot("missing_files", &built.fails());
}

#[test]
fn an_empty_file() {
    let built = Built::new(Format::Parquet);
    built.spoil(|_| Vec::new());
    snapshot("empty_parquet", &built.fails());
}

/// Files that are whole and hold nothing; as NDJSON an empty table is an empty file.
#[test]
fn an_export_without_rows() {
    let built = Built::new(NDJSON);
    for entry in fs::read_dir(built.shop.path("data")).unwrap() {
        fs::write(entry.unwrap().path(), "").unwrap();
    }
    snapshot("no_rows", &built.fails());
}

/// Takes a mount away when the test ends, however it ends.
struct Mount(PathBuf);

impl Mount {
    fn small(dir: PathBuf) -> Option<Self> {
        fs::create_dir_all(&dir).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&dir).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("skipped: no right to mount a small file system");
        }
        mounted.then_some(Self(dir))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk() {
    let shop = Shop::demo();
    let Some(_mount) = Mount::small(shop.path("warehouse")) else { return };
    let built = Built::of(shop, Format::Parquet);
    generate_days(&built.shop, 2, 3, 60_000, Format::Parquet);
    let outcome = built.shop.execute(&RunRequest::new(Verb::Run));
    let after = built.shop.contents();
    let mut changed = Vec::new();
    if let Ok(summary) = &outcome {
        let fine = summary.results.iter().filter(|result| result.status == Status::Success);
        changed.extend(fine.map(|result| result.name.clone()));
    }
    for (table, content) in &built.before {
        assert!(changed.contains(table) || after.get(table) == Some(content), "{table} changed");
    }
    let said = said(built.shop.dir(), outcome);
    assert!(
        said.contains("No space left on device") && said.contains("hint: free disk space"),
        "{said}"
    );
}

/// The child of the next test; alone it does nothing.
#[test]
fn build_to_be_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let load = clicktrail_project::LoadOptions {
        project_dir: dir.into(),
        vars: [("ga4_export".to_owned(), "data/events_*".into())].into_iter().collect(),
        ..Default::default()
    };
    let settings = clicktrail_pipeline::Settings { load, memory_bytes: None };
    let clock = Arc::new(clicktrail_pipeline::SystemClock::default());
    let workspace = clicktrail_pipeline::Workspace::open(settings, clock).unwrap();
    good(workspace.execute(&RunRequest::new(Verb::Run), &clicktrail_pipeline::Silent).unwrap());
}

#[test]
fn killed_runs_leave_whole_tables() {
    let built = Built::new(Format::Parquet);
    let fresh = Shop::demo();
    for shop in [&built.shop, &fresh] {
        generate_days(shop, 2, 3, 20_000, Format::Parquet);
    }
    fresh.build_tables();
    let expected = fresh.contents();
    for millis in [60, 200, 400, 700, 1000, 1500] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "bad_input::build_to_be_killed"])
            .env(CHILD, built.shop.dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        for (table, content) in built.shop.contents() {
            let known = [built.before.get(&table), expected.get(&table)];
            assert!(known.contains(&Some(&content)), "{table} after {millis} ms: {content}");
        }
    }
    built.shop.build_tables();
    assert_eq!(built.shop.contents(), expected);
}

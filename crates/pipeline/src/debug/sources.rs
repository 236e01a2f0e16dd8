//! What each source's files are, told from their names; only the newest is looked into.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use chrono::NaiveDate;
use clicktrail_ingest::{ExportFile, Format};
use clicktrail_project::{Project, Source};
use serde_json::{Map, Value};

use super::{bad, counted, good, refused};
use crate::error::PipelineError;
use crate::feeds::{Feeds, STREAM, STREAM_NAME};
use crate::problem::nearest;
use crate::warehouse::Warehouse;
use crate::workspace::Check;

const EXPORT: &str = "ga4_export";
const INTRADAY: &str = "ga4_intraday";
const MAX_BAD_ROWS: &str = "max_bad_rows";

/// First and last bytes of every Parquet file.
const PARQUET_MAGIC: &[u8] = b"PAR1";
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Bytes read of a file: enough for a magic number, or for the blanks before a row.
const HEAD_BYTES: u64 = 64;

/// A line for each source.
///
/// Sources are looked for one at a time, so that a wrong pattern of one does not hide the others.
pub(super) fn checks(mut project: Project) -> Vec<Check> {
    let vars = std::mem::take(&mut project.vars);
    let sources: Vec<Source> = project.manifest.sources.values().cloned().collect();
    let mut checks = Vec::new();
    project.vars = only(&vars, MAX_BAD_ROWS);
    if let Err(error) = Feeds::find(&project) {
        checks.push(refused("vars", &error, "correct `max_bad_rows`"));
        project.vars.clear();
    }
    let taken_in = taken_in(&project);
    let (mut files, mut failed) = (0, false);
    for source in &sources {
        let subject = format!("source {}.{}", source.source_name, source.name);
        let known = Feeds::name_of(source)
            .and_then(|name| Feeds::vars().into_iter().find(|(known, _)| *known == name));
        let Some((name, var)) = known else {
            checks.push(unreadable(subject));
            continue;
        };
        project.vars = only(&vars, var);
        let check = match Feeds::find(&project) {
            Err(error) => wrong_pattern(subject, &error, var),
            Ok(_) if name == STREAM_NAME && !is_set(&vars, var) && taken_in.is_some() => {
                let rows = taken_in.unwrap_or_default();
                files += 1;
                good(
                    subject,
                    format!("{} that `clicktrail serve` took in", counted(rows, "row", "rows")),
                )
            }
            Ok(feeds) if feeds.files(&name).is_empty() => no_files(subject, var, &vars),
            Ok(feeds) => {
                files += feeds.files(&name).len();
                let passed_over = if is_set(&vars, INTRADAY) { 0 } else { feeds.passed_over };
                of_files(subject, feeds.files(&name), passed_over)
            }
        };
        failed |= !check.ok;
        checks.push(check);
    }
    if files == 0 && !failed {
        require_files(&mut checks);
    }
    checks
}

/// Rows of the table that a collector's events are in; without one there is nothing to say.
fn taken_in(project: &Project) -> Option<usize> {
    let table = Warehouse::of(project).snapshot(STREAM.1).ok().flatten()?;
    usize::try_from(table.rows()).ok()
}

fn only(vars: &Map<String, Value>, name: &str) -> Map<String, Value> {
    vars.get(name).map(|value| (name.to_owned(), value.clone())).into_iter().collect()
}

fn is_set(vars: &Map<String, Value>, name: &str) -> bool {
    vars.get(name).is_some_and(|value| !value.is_null() && value != "")
}

fn unreadable(subject: String) -> Check {
    let names: Vec<String> = Feeds::vars().iter().map(|(name, _)| format!("`{name}`")).collect();
    let fix = format!("it reads {}; load other data as a seed", names.join(", "));
    bad(subject, "has no rows that the embedded engine can read", fix)
}

fn wrong_pattern(subject: String, error: &PipelineError, var: &str) -> Check {
    let mut check = refused(subject, error, "correct it in dbt_project.yml or by `--vars`");
    if !check.found.contains(var) {
        check.found.push_str(&format!(" (var `{var}`)"));
    }
    check
}

/// A source without files is fine, unless its var is misspelled.
fn no_files(subject: String, var: &str, vars: &Map<String, Value>) -> Check {
    if vars.contains_key(var) {
        return good(subject, format!("no rows: the var `{var}` is empty"));
    }
    let others: Vec<String> = vars
        .keys()
        .filter(|name| Feeds::vars().iter().all(|(_, known)| known != name))
        .cloned()
        .collect();
    let found = format!("no rows: the var `{var}` is not set");
    match nearest(var, &others)
        .filter(|name| vars.get(*name).is_some_and(|value| !value.is_number()))
    {
        Some(name) => bad(subject, found, format!("is `{name}` meant to be `{var}`?")),
        None => good(subject, found),
    }
}

/// Without any file a build makes empty tables: hardly what is wanted.
fn require_files(checks: &mut [Check]) {
    let wanted = "source ga4.events";
    if let Some(check) = checks.iter_mut().find(|check| check.subject == wanted) {
        check.ok = false;
        check.fix = Some(format!(
            "say where the export is: `{EXPORT}: exports/events_*.parquet` under `vars:` in dbt_project.yml"
        ));
    }
}

fn of_files(subject: String, files: &[ExportFile], passed_over: usize) -> Check {
    let mut found = described(files);
    if passed_over > 0 {
        found.push_str(&format!(
            "; {} left out, name them in the var `{INTRADAY}` to use them",
            counted(passed_over, "intraday file", "intraday files")
        ));
    }
    let newest = files.iter().max_by_key(|file| (file.day, file.modified));
    match newest.map(|file| (file, fault(file))) {
        Some((file, Some(fault))) => {
            let found = format!("{found}; {} {fault}", file.path.display());
            bad(subject, found, "fetch the file again, or move it out of the way")
        }
        _ => good(subject, found),
    }
}

/// `31 Parquet and 2 NDJSON files, 2020-12-19 to 2021-01-20, 1 day missing, 92.1 MB`.
fn described(files: &[ExportFile]) -> String {
    let mut formats: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let name = match file.format {
            Format::Parquet => "Parquet",
            Format::Ndjson { gzip: false } => "NDJSON",
            Format::Ndjson { gzip: true } => "NDJSON.gz",
        };
        *formats.entry(name).or_default() += 1;
    }
    let formats: Vec<String> =
        formats.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let noun = if files.len() == 1 { "file" } else { "files" };
    let mut parts = vec![format!("{} {noun}", formats.join(" and "))];
    let mut days: Vec<NaiveDate> = files.iter().filter_map(|file| file.day).collect();
    let undated = files.len() - days.len();
    days.sort_unstable();
    days.dedup();
    if let (Some(first), Some(last)) = (days.first(), days.last()) {
        parts.push(if first == last { first.to_string() } else { format!("{first} to {last}") });
        let span = usize::try_from((*last - *first).num_days()).unwrap_or(0) + 1;
        let missing = span.saturating_sub(days.len());
        if missing > 0 {
            parts.push(format!("{} missing", counted(missing, "day", "days")));
        }
    }
    if undated > 0 {
        parts.push(format!("{undated} without a day in the name"));
    }
    parts.push(size(files.iter().map(|file| file.bytes).sum()));
    parts.join(", ")
}

fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// What is wrong with a file at first sight.
fn fault(file: &ExportFile) -> Option<String> {
    if file.bytes == 0 {
        return Some("is empty (0 bytes)".into());
    }
    let (head, tail) = match edges(&file.path, file.bytes) {
        Ok(edges) => edges,
        Err(error) => return Some(format!("can't be read: {error}")),
    };
    match file.format {
        Format::Parquet if !head.starts_with(PARQUET_MAGIC) => Some("is not a Parquet file".into()),
        Format::Parquet if !tail.ends_with(PARQUET_MAGIC) => Some("is cut off".into()),
        Format::Ndjson { gzip: true } if !head.starts_with(GZIP_MAGIC) => {
            Some("is not a gzip file".into())
        }
        Format::Ndjson { gzip: false } if !starts_an_object(&head) => {
            Some("does not begin with a JSON object, one a line".into())
        }
        _ => None,
    }
}

/// The first bytes of a file, and its last four.
fn edges(path: &Path, bytes: u64) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut file = File::open(path)?;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(PARQUET_MAGIC.len() as u64)))?;
    file.take(PARQUET_MAGIC.len() as u64).read_to_end(&mut tail)?;
    Ok((head, tail))
}

fn starts_an_object(head: &[u8]) -> bool {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    // All blank so far proves nothing.
    head.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|byte| *byte == b'{')
}

#[cfg(test)]
mod tests {
    use clicktrail_project::LoadOptions;

    use super::*;

    fn file(dir: &Path, name: &str, bytes: &[u8]) -> ExportFile {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        ExportFile::at(&path).unwrap()
    }

    #[test]
    fn files_are_described_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| file(dir.path(), name, b"1234567890");
        let one = at("events_20210131.parquet");
        assert_eq!(described(std::slice::from_ref(&one)), "1 Parquet file, 2021-01-31, 0.0 kB");
        let files =
            [one, at("events_20210128.ndjson"), at("events_20210129.parquet"), at("rows.parquet")];
        assert_eq!(
            described(&files),
            "1 NDJSON and 3 Parquet files, 2021-01-28 to 2021-01-31, 1 day missing, 1 without a day in the name, \
             0.0 kB"
        );
    }

    #[test]
    fn a_look_at_both_ends_finds_broken_files() {
        let dir = tempfile::tempdir().unwrap();
        let fault = |name: &str, bytes: &[u8]| fault(&file(dir.path(), name, bytes));
        assert_eq!(fault("a.parquet", b"PAR1....PAR1"), None);
        assert_eq!(fault("b.parquet", b"PAR1........").as_deref(), Some("is cut off"));
        assert_eq!(fault("c.parquet", b"<html>").as_deref(), Some("is not a Parquet file"));
        assert_eq!(fault("d.parquet", b"").as_deref(), Some("is empty (0 bytes)"));
        assert_eq!(fault("e.ndjson", b"\xef\xbb\xbf \n{\"a\": 1}"), None);
        assert!(fault("f.ndjson", b"[{}]").is_some());
        assert!(fault("g.ndjson.gz", b"{}").is_some());
    }

    #[test]
    fn sizes_have_one_digit() {
        assert_eq!(size(0), "0.0 kB");
        assert_eq!(size(999_940), "999.9 kB");
        assert_eq!(size(999_960), "1.0 MB");
        assert_eq!(size(92_100_000_000), "92.1 GB");
    }

    #[test]
    fn a_misspelled_var_is_suspected() {
        let vars = |text: &str| LoadOptions::parse_vars(text).unwrap();
        let check = |text: &str| no_files("source ga4.events".into(), EXPORT, &vars(text));
        assert!(check("{ga4_export: ''}").ok);
        assert!(check("{ga4_intraday: x}").ok);
        assert_eq!(
            check("{ga4_exprot: x}").fix.as_deref(),
            Some("is `ga4_exprot` meant to be `ga4_export`?")
        );
    }
}

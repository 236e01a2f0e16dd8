//! House rules that no compiler checks: arrows between crates, sizes, names, a README for each crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates each crate may use; the table in ARCHITECTURE.md says the same in words.
const ARROWS: [(&str, &[&str]); 8] = [
    ("attribution", &[]),
    ("project", &[]),
    ("engine", &[]),
    ("eventlog", &[]),
    ("ingest", &[]),
    ("pipeline", &["engine", "eventlog", "ingest", "project", "attribution"]),
    ("server", &["eventlog", "ingest"]),
    ("cli", &["pipeline", "server", "project", "ingest", "engine", "eventlog"]),
];

/// A file that is longer can no longer be read in one go. The aim is 400 above a file's tests.
const FILE_LINES: usize = 600;

/// Marks of unfinished work, in two parts so that this file does not hold them.
const UNFINISHED: [[&str; 2]; 2] = [["todo", "!("], ["unimplemented", "!("]];

/// Names that say nothing: a type lives with its meaning.
const GRAB_BAGS: [&str; 4] = ["common", "util", "utils", "helpers"];

fn crates_dir() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).parent().unwrap().to_path_buf()
}

/// Names of the crates' folders.
fn crates() -> BTreeSet<String> {
    fs::read_dir(crates_dir())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// All Rust files below a folder.
fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Crates of the workspace that a Cargo.toml names as dependencies, of whatever kind and in either way
/// of writing them: a line in a table of dependencies, or a table of its own.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        let entry = if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            table.split_once("dependencies.").map(|(_, name)| name)
        } else if inside {
            line.split(['.', '=', ' ']).next()
        } else {
            None
        };
        let by_path = line.split_once("path = \"../").and_then(|(_, rest)| rest.split('"').next());
        let by_name = entry.and_then(|name| name.trim_matches('"').strip_prefix("clicktrail-"));
        found.extend(by_path.or(by_name).map(str::to_owned));
    }
    found
}

#[test]
fn arrows_between_crates_are_those_of_the_architecture() {
    let known: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(crates(), known, "a new crate needs a line in ARROWS and in ARCHITECTURE.md");
    let mut wrong = Vec::new();
    for (name, allowed) in ARROWS {
        let manifest = fs::read_to_string(crates_dir().join(name).join("Cargo.toml")).unwrap();
        let used = dependencies(&manifest);
        let others = used.iter().filter(|other| !allowed.contains(&other.as_str()));
        wrong.extend(others.map(|other| format!("{name} → {other}")));
    }
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not have: {wrong:?}");
}

#[test]
fn every_way_to_write_a_dependency_is_seen() {
    let manifest = "[package]\nname = \"clicktrail-x\"\n[dependencies]\nclicktrail-a.workspace = true\n\
        clicktrail-b = { path = \"../b\" }\nother = { path = \"../c\" }\n\
        [dev-dependencies.clicktrail-d]\nworkspace = true\n\
        [target.'cfg(unix)'.build-dependencies]\nclicktrail-e = \"1\"\n[features]\nclicktrail-f = []\n";
    assert_eq!(dependencies(manifest).into_iter().collect::<String>(), "abcde");
}

#[test]
fn files_can_be_read_in_one_go() {
    let mut files = Vec::new();
    rust_files(&crates_dir(), &mut files);
    assert!(files.len() > 100, "only {} files found", files.len());
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().count();
    let long: Vec<String> = files
        .iter()
        .map(|path| (path, lines(path)))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "over {FILE_LINES} lines: {long:#?}");
}

/// The compiler refuses `unsafe` wherever nothing allows it; one file does, for a reason that it gives.
#[test]
fn one_file_holds_what_is_unsafe() {
    let mut files = Vec::new();
    for name in crates() {
        rust_files(&crates_dir().join(name).join("src"), &mut files);
    }
    let allows = |path: &&PathBuf| fs::read_to_string(path).unwrap().contains("unsafe_code");
    let found: Vec<_> = files.iter().filter(allows).collect();
    assert_eq!(found, [&crates_dir().join("cli/src/memory.rs")]);
}

#[test]
fn nothing_unfinished_is_in_the_sources() {
    let mut files = Vec::new();
    for name in crates() {
        rust_files(&crates_dir().join(name).join("src"), &mut files);
    }
    let marks = UNFINISHED.map(|parts| parts.concat());
    let holds = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        marks.iter().any(|mark| text.contains(mark.as_str()))
    };
    let unfinished: Vec<_> = files.iter().filter(|path| holds(path)).collect();
    assert!(unfinished.is_empty(), "{unfinished:#?}");
}

/// Each rule of the attribution semantics has its hand-worked table among the demo's unit tests.
#[test]
fn every_rule_has_a_unit_test() {
    let models = crates_dir().join("../demo/models");
    let folders = fs::read_dir(&models).unwrap().map(|entry| entry.unwrap().path());
    let tables = folders.map(|folder| folder.join("unit_tests.yml"));
    let texts: String = tables.filter_map(|path| fs::read_to_string(path).ok()).collect();
    let names = (1..=33).map(|number| format!("- name: rule_2_{number:02}_"));
    let missing: Vec<String> = names.filter(|name| !texts.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn crates_have_a_meaning_and_a_readme() {
    for name in crates() {
        assert!(!GRAB_BAGS.contains(&name.as_str()), "`{name}` says nothing about what is in it");
        let readme = crates_dir().join(&name).join("README.md");
        assert!(readme.is_file(), "{} is missing", readme.display());
    }
}

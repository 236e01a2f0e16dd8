//! What needs no pipeline: help, usage errors, `init`, `explain`, completions, the manual page.

use std::fs;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::support::{Folder, filtered, said};

#[test]
fn help_texts() {
    let folder = Folder::new();
    let commands: [&[&str]; 6] =
        [&[], &["build"], &["query"], &["ls"], &["generate"], &["source", "freshness"]];
    for command in commands {
        let name = ["help", &command.join("_")].join("_").trim_end_matches('_').to_owned();
        let help = folder.run(&[command, &["--help"]].concat()).code(0);
        filtered(&folder, || assert_snapshot!(name, help.out));
    }
}

#[test]
fn without_arguments_the_help_is_told_as_an_error() {
    let said = Folder::new().run(&[]).code(2);
    assert!(said.err.contains("Usage: clicktrail"), "{}", said.err);
    assert_eq!(said.out, "");
}

#[test]
fn wrong_arguments() {
    let folder = Folder::new();
    let cases: [(&str, &[&str]); 9] = [
        ("unknown_command", &["biuld"]),
        ("unknown_flag", &["build", "--selct", "a"]),
        ("bad_format", &["query", "select 1", "-o", "xml"]),
        ("bad_memory", &["build", "--memory", "much"]),
        ("bad_count", &["generate", "--events", "many"]),
        ("bad_vars", &["build", "--vars", "[1, 2]"]),
        ("broken_vars", &["build", "--vars", "{a: "]),
        ("nothing_to_show", &["show"]),
        ("no_query", &["query"]),
    ];
    for (name, arguments) in cases {
        let said = folder.run(arguments).code(2);
        assert_eq!(said.out, "", "{name}");
        filtered(&folder, || assert_snapshot!(format!("usage_{name}"), said.err));
    }
}

#[test]
fn init_writes_a_project_once() {
    let folder = Folder::new();
    let first = folder.run(&["init", "shop"]).code(0);
    assert_eq!((first.out.as_str(), first.err.as_str()), ("cd shop && clicktrail debug\n", ""));
    let project = fs::read_to_string(folder.path("shop/dbt_project.yml")).unwrap();
    assert!(project.contains("  # Set this to your own export"), "{project}");
    assert!(folder.path("shop/models/staging/stg_events.sql").exists());
    let again = folder.run(&["init", "shop"]).code(2);
    filtered(&folder, || assert_snapshot!("init_twice", again.err));
}

#[test]
fn init_here_bears_version_control() {
    let folder = Folder::new();
    fs::create_dir(folder.path(".git")).unwrap();
    assert_eq!(folder.run(&["init"]).code(0).out, "clicktrail debug\n");
    assert!(folder.path("profiles.yml").exists());
}

#[test]
fn codes_are_explained() {
    let folder = Folder::new();
    assert_snapshot!("explain_known", folder.run(&["explain", "e3001"]).code(0).out);
    assert_snapshot!("explain_unknown", folder.run(&["explain", "E3333"]).code(2).err);
    let list = folder.run(&["explain"]).code(0).out;
    assert!(list.lines().count() > 40, "{list}");
    let json = folder.run(&["explain", "E1041", "-o", "json"]).code(0).json();
    assert_eq!(json["codes"][0]["code"], "E1041");
}

#[test]
fn completions_and_manual() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = folder.run(&["completions", shell]).code(0).out;
        assert!(script.contains("freshness"), "{shell}");
    }
    assert!(folder.run(&["man"]).code(0).out.starts_with(".ie"));
    folder.run(&["man", "--out", "man"]).code(0);
    assert!(folder.path("man/clicktrail-build.1").exists());
}

#[test]
fn the_version_in_three_ways() {
    let folder = Folder::new();
    let version = folder.run(&["version"]).code(0).out;
    assert_eq!(version, format!("clicktrail {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(folder.run(&["--version"]).code(0).out, version);
    assert_eq!(folder.run(&["-V"]).code(0).out, version);
}

#[test]
fn colours_only_where_they_are_wanted() {
    let folder = Folder::new();
    let told = |variables: &[(&str, &str)], flags: &[&str]| {
        let arguments = [&["show"], flags].concat();
        let mut command = folder.command("", &arguments);
        command.envs(variables.iter().copied());
        said(command.output().unwrap()).code(2).err.contains('\x1b')
    };
    assert!(!told(&[], &[]), "a pipe");
    assert!(told(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!told(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[]));
    assert!(!told(&[("CLICOLOR_FORCE", "1")], &["--no-color"]));
}

#[test]
fn a_failure_as_json() {
    let folder = Folder::new();
    let said = folder.run(&["show", "-o", "json", "--log-format", "json"]).code(2);
    assert_eq!(said.json()["error"]["message"], "nothing to show");
    let event: serde_json::Value = serde_json::from_str(said.last()).unwrap();
    assert_eq!((&event["event"], &event["exit_code"]), (&"error".into(), &2.into()));
    assert_eq!(event["schema_version"], 1);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = Folder::new();
    let mut command = folder.command("", &["completions", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = said(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

//! The fixture `shop`: one of everything.

use std::collections::BTreeMap;
use std::fmt::Write;

use clicktrail_project::{
    AdapterRelations, CompileContext, Compiled, InputName, Manifest, Project, Relations, Rows,
};

use super::{load, snapshot};

/// Compiled lines, each with the line it came from.
fn with_lines(compiled: &Compiled) -> String {
    let mut out = String::new();
    for (index, line) in compiled.sql.split('\n').enumerate() {
        let origin = compiled.lines.origin(index + 1);
        let origin = origin.map_or_else(String::new, |(file, line)| {
            format!("{}:{line}", file.file_name().unwrap_or_default().to_string_lossy())
        });
        writeln!(out, "{origin:>18} | {line}").unwrap();
    }
    out
}

fn compile_all(project: &Project) -> String {
    let relations = AdapterRelations(project.target.adapter);
    let mut out = String::new();
    for id in project.manifest.order() {
        let Some(node) = project.manifest.nodes.get(&id) else { continue };
        if node.raw_code.is_empty() {
            continue;
        }
        let compiled = project.compile(node, &CompileContext::new(&relations)).unwrap();
        writeln!(out, "=== {id}\n{}", with_lines(&compiled)).unwrap();
    }
    out
}

#[test]
fn compiles_for_each_adapter() {
    for target in ["local", "duck", "bq"] {
        let project = load("shop", Some(target)).unwrap();
        snapshot(&format!("shop_compiled_{target}"), &compile_all(&project));
    }
}

#[test]
fn manifest_is_stable_and_survives_its_file() {
    let project = load("shop", None).unwrap();
    assert_eq!(project.warnings.len(), 0);
    let text = serde_json::to_string_pretty(&project.manifest).unwrap();
    snapshot("shop_manifest", &text);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target/manifest.json");
    project.manifest.write(&path).unwrap();
    assert_eq!(Manifest::read(&path).unwrap(), project.manifest);
    assert_eq!(load("shop", None).unwrap().manifest, project.manifest);
}

/// An incremental run.
struct Incremental;

impl Relations for Incremental {
    fn relation(&self, node: &clicktrail_project::Node) -> String {
        node.alias.clone()
    }
    fn source(&self, source: &clicktrail_project::Source) -> String {
        source.name.clone()
    }
    fn is_incremental(&self, _: &clicktrail_project::Node) -> bool {
        true
    }
}

#[test]
fn incremental_runs_see_themselves() {
    let project = load("shop", None).unwrap();
    let node = project.manifest.model("fct_users").unwrap();
    let compiled = project.compile(node, &CompileContext::new(&Incremental)).unwrap();
    assert!(compiled.sql.contains("(select user_id from fct_users)"), "{}", compiled.sql);
    let hook = &node.config.post_hook[0];
    let hook = project.compile_text(hook, Some(node), &CompileContext::new(&Incremental)).unwrap();
    assert_eq!(hook.sql, "analyze fct_users");
}

#[test]
fn unit_tests_replace_relations() {
    let project = load("shop", None).unwrap();
    let test = project.manifest.unit_tests.values().next().unwrap();
    assert!(matches!(&test.given[1].rows, Rows::Csv(text) if text.starts_with("id,label")));
    let model = &project.manifest.nodes[&test.model_id];
    let names: BTreeMap<String, String> = test
        .given
        .iter()
        .enumerate()
        .map(|(index, given)| match &given.input {
            InputName::Ref(id) | InputName::Source(id) => (id.clone(), format!("given_{index}")),
            InputName::This => (test.model_id.clone(), format!("given_{index}")),
        })
        .collect();
    let relations = AdapterRelations(project.target.adapter);
    let context = CompileContext {
        names: Some(&names),
        overrides: Some(&test.overrides),
        ..CompileContext::new(&relations)
    };
    let compiled = project.compile(model, &context).unwrap();
    snapshot("shop_unit_test", &with_lines(&compiled));
}

#[test]
fn inline_text_may_name_anything() {
    let project = load("shop", None).unwrap();
    let relations = AdapterRelations(project.target.adapter);
    let context = CompileContext::new(&relations);
    let text = "select * from {{ ref('eph_users') }} limit {{ var('days') }}";
    let compiled = project.compile_text(text, None, &context).unwrap();
    assert!(compiled.sql.starts_with("with\n__dbt__cte__eph_users as ("), "{}", compiled.sql);
    let error = project.compile_text("{{ ref('eph_user') }}", None, &context).unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean `eph_users`?");
}

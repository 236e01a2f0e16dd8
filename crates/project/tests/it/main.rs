//! Fixture folders → snapshots: `INSTA_UPDATE=always cargo test` writes them.

#![allow(clippy::unwrap_used)]

mod selectors;
mod shop;

use std::path::{Path, PathBuf};

use clicktrail_project::{
    AdapterRelations, CompileContext, ErrorKind, LoadOptions, Project, ProjectError, SelectArgs,
};

/// A folder of fixtures.
fn fixture(name: &str) -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("tests/fixtures").join(name)
}

/// Loads a fixture with a target of the shared profile, or of its own one.
fn load(name: &str, target: Option<&str>) -> Result<Project, ProjectError> {
    let own = fixture(name).join("profiles.yml").is_file();
    Project::load(&LoadOptions {
        project_dir: fixture(name),
        profiles_dir: (!own).then(|| fixture("_profiles")),
        target: target.map(str::to_owned),
        run_started_at: "2026-11-23T18:00:01Z".into(),
        invocation_id: "test".into(),
        ..LoadOptions::default()
    })
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("../snapshots");
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// An error as a user would see it, paths of this machine taken out.
fn draw(error: &ProjectError) -> String {
    let root = fixture("");
    let root = root.to_string_lossy();
    let hint = error.hint().unwrap_or_else(|| "-".into());
    format!("error[{}]: {error}\n  hint: {hint}\n", error.code()).replace(root.as_ref(), "…/")
}

/// Everything that can fail in a fixture: loading, selecting, compiling.
fn fail(name: &str) -> ProjectError {
    let project = match load(name, None) {
        Ok(project) => project,
        Err(error) => return error,
    };
    if let Ok(spec) = std::fs::read_to_string(fixture(name).join("select.txt")) {
        let args = SelectArgs { select: vec![spec.trim().into()], ..SelectArgs::default() };
        return project.select(&args).expect_err(name);
    }
    let relations = AdapterRelations(project.target.adapter);
    let context = CompileContext::new(&relations);
    let mut errors =
        project.manifest.nodes.values().filter_map(|node| project.compile(node, &context).err());
    errors.next().unwrap_or_else(|| panic!("{name} has no error"))
}

#[test]
fn errors_are_clear() {
    let mut names: Vec<String> = std::fs::read_dir(fixture(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("err_"))
        .collect();
    names.sort();
    assert!(names.len() >= 20);
    for name in names {
        let error = fail(&name);
        assert_eq!(error.kind(), ErrorKind::Project, "{name}");
        snapshot(&name, &draw(&error));
    }
}

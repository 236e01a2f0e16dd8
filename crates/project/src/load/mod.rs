//! From a folder to a manifest: files → settings → macros → nodes → links.

mod data_tests;
pub(crate) mod files;
pub(crate) mod generic;
mod link;
mod macros;
mod nodes;
mod profiles;
mod project_file;
mod properties;
mod sources;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::error::{ProjectError, Result};
use crate::jinja::Engine;
use crate::jinja::scope::{Globals, Scope};
use crate::layers::Layers;
use crate::manifest::{Manifest, Metadata};
use crate::profile::{Adapter, Target};
use crate::project::{LoadOptions, Project};
use crate::yaml::{Data, Yaml};
pub(crate) use link::Links;
use project_file::ProjectFile;
use properties::Properties;

/// What all steps of loading need.
pub(crate) struct Loader<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) file: ProjectFile,
    pub(crate) target: Target,
    pub(crate) engine: Engine,
    pub(crate) properties: Properties,
    pub(crate) manifest: Manifest,
    pub(crate) warnings: Vec<ProjectError>,
}

/// Loads a project.
pub(crate) fn load(options: &LoadOptions) -> Result<Project> {
    let dir = options.project_dir.as_path();
    let file = ProjectFile::read(dir)?;
    file.check_trees()?;
    let mut vars = file.vars.clone();
    vars.extend(options.vars.clone());
    let bare = Engine::new(globals(options, &file, &vars), &[])?;
    let target = profiles::load(options, file.profile.as_deref(), &bare)?;
    if target.adapter == Adapter::Clicktrail {
        fill(&mut vars, &options.embedded_vars);
    }
    let globals = Globals {
        adapter: Some(target.adapter.renders_as()),
        target: target_fields(&target),
        docs: macros::docs(dir, &file)?,
        ..globals(options, &file, &vars)
    };
    let engine = Engine::new(globals, &macros::files(dir, &file)?)?;
    let properties = Properties::read(dir, &file)?;
    let metadata = Metadata {
        clicktrail_version: env!("CARGO_PKG_VERSION").into(),
        project_name: file.name.clone(),
        adapter_type: target.adapter.as_str().into(),
        generated_at: options.run_started_at.clone(),
        invocation_id: options.invocation_id.clone(),
    };
    let manifest = Manifest { metadata, ..Manifest::default() };
    let mut loader =
        Loader { dir, file, target, engine, properties, manifest, warnings: Vec::new() };
    loader.sources()?;
    loader.models()?;
    loader.seeds()?;
    loader.singular_tests()?;
    loader.check_patches()?;
    loader.generic_tests()?;
    loader.unit_tests()?;
    loader.macros()?;
    loader.link()?;
    loader.unused_trees();
    Ok(loader.into_project(vars))
}

/// Sets vars that are not set, or empty.
fn fill(vars: &mut Map<String, Json>, with: &Map<String, Json>) {
    for (name, value) in with {
        let is_empty = |var: &Json| var.is_null() || var.as_str().is_some_and(str::is_empty);
        if vars.get(name).is_none_or(is_empty) {
            vars.insert(name.clone(), value.clone());
        }
    }
}

/// What templates see before the target is known.
fn globals(options: &LoadOptions, file: &ProjectFile, vars: &Map<String, Json>) -> Globals {
    Globals {
        project: file.name.clone(),
        vars: vars.clone(),
        env: options.env.clone(),
        full_refresh: options.full_refresh,
        flags: file.flags.clone(),
        run_started_at: options.run_started_at.clone(),
        invocation_id: options.invocation_id.clone(),
        ..Globals::default()
    }
}

/// The `target` variable: all fields of the output, with the type.
fn target_fields(target: &Target) -> Map<String, Json> {
    let mut fields = target.fields.clone();
    // As in dbt, no model can write a password down.
    fields.retain(|key, _| !matches!(key.as_str(), "password" | "pass"));
    fields.insert("type".into(), target.adapter.renders_as().as_str().into());
    fields
}

impl<'a> Loader<'a> {
    /// A scope in which a file is parsed.
    pub(crate) fn scope(&self, file: &Path) -> Scope {
        Scope { globals: self.engine.globals.clone(), file: file.to_owned(), ..Scope::default() }
    }

    /// A YAML value, strings rendered.
    pub(crate) fn render(&self, yaml: &Yaml) -> Result<Json> {
        let scope = Arc::new(self.scope(&yaml.at().file));
        render_json(&self.engine, &scope, yaml)
    }

    /// Renders a configuration value; hooks stay raw until they run.
    pub(crate) fn render_config(&self, key: &str, yaml: &Yaml) -> Result<Json> {
        if matches!(key, "pre_hook" | "post_hook") {
            return Ok(yaml.to_json());
        }
        self.render(yaml)
    }

    /// The text of a key, rendered; empty when absent.
    pub(crate) fn rendered_text(&self, yaml: &Yaml, key: &str) -> Result<Option<String>> {
        let Some(value) = yaml.get(key) else { return Ok(None) };
        match self.render(value)? {
            Json::String(text) => Ok(Some(text)),
            Json::Null => Ok(None),
            Json::Number(number) => Ok(Some(number.to_string())),
            _ => Err(value.wrong(key, "text")),
        }
    }

    /// The layers that `dbt_project.yml` gives a node.
    pub(crate) fn tree_layers(&self, kind: &str, fqn: &[String]) -> Result<Layers> {
        let mut layers = Layers::default();
        let place = format!("`{kind}` in `dbt_project.yml`");
        let render = |key: &str, yaml: &Yaml| self.render_config(key, yaml);
        for tree in self.file.trees(kind) {
            let mut level = Some(tree);
            let mut parts = fqn.iter();
            while let Some(current) = level {
                for entry in current.map(kind)? {
                    if let Some(key) = project_file::tree_setting(&entry.key, &entry.value) {
                        layers.add_one(&key, &entry.value, entry.at(), &place, &render)?;
                    }
                }
                level = parts.next().and_then(|part| {
                    let entries = current.map(kind).ok()?;
                    entries.iter().find(|entry| entry.key == *part).map(|entry| &entry.value)
                });
                if !level.is_some_and(|yaml| matches!(yaml.data, Data::Map(_))) {
                    break;
                }
            }
        }
        Ok(layers)
    }

    fn into_project(self, vars: Map<String, Json>) -> Project {
        Project {
            dir: self.dir.to_owned(),
            name: self.file.name,
            version: self.file.version,
            target_path: self.file.target_path,
            clean_targets: self.file.clean_targets,
            vars,
            flags: self.file.flags,
            target: self.target,
            manifest: self.manifest,
            on_run: self.file.on_run,
            warnings: self.warnings,
            engine: self.engine,
        }
    }
}

/// A YAML value, strings rendered; faults are placed at the value.
pub(crate) fn render_json(engine: &Engine, scope: &Arc<Scope>, yaml: &Yaml) -> Result<Json> {
    match &yaml.data {
        Data::String(text) => {
            let value = engine.render_yaml(text, scope).map_err(|mut error| {
                error.at = Some(yaml.at());
                error
            })?;
            Ok(serde_json::to_value(&value).unwrap_or(Json::Null))
        }
        Data::List(items) => items.iter().map(|item| render_json(engine, scope, item)).collect(),
        Data::Map(entries) => {
            let mut map = Map::new();
            for entry in entries {
                map.insert(entry.key.clone(), render_json(engine, scope, &entry.value)?);
            }
            Ok(Json::Object(map))
        }
        _ => Ok(yaml.to_json()),
    }
}

/// Files by name.
pub(crate) type Named<T> = BTreeMap<String, T>;

/// Reads all files of these extensions below the roots.
pub(crate) fn read_all(
    dir: &Path,
    roots: &[PathBuf],
    extensions: &[&str],
) -> Result<Vec<(PathBuf, String)>> {
    files::list(dir, roots, extensions)?
        .into_iter()
        .map(|file| files::read(dir, &file).map(|text| (file, text)))
        .collect()
}

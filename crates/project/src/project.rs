//! A loaded project: the door of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use crate::compile::{CompileContext, Compiled};
use crate::error::{ProjectError, Result};
use crate::jinja::Engine;
use crate::manifest::Manifest;
use crate::node::Node;
use crate::profile::Target;
use crate::select::SelectArgs;

/// What the caller decides before loading. There is no clock, environment or randomness inside
/// this crate: all of it enters here.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Folder with `dbt_project.yml`.
    pub project_dir: PathBuf,
    /// `--profiles-dir`.
    pub profiles_dir: Option<PathBuf>,
    /// `--profile`, over the project's.
    pub profile: Option<String>,
    /// `--target`, over the profile's.
    pub target: Option<String>,
    /// `--threads`, over the target's.
    pub threads: Option<usize>,
    /// `--vars`, over the project's.
    pub vars: Map<String, Json>,
    /// Vars that hold where a project of the embedded engine leaves them empty.
    pub embedded_vars: Map<String, Json>,
    /// `--full-refresh`.
    pub full_refresh: bool,
    /// The environment, for `env_var()`, `CLICKTRAIL_PROFILES_DIR`, `DBT_PROFILES_DIR`, `HOME`.
    pub env: BTreeMap<String, String>,
    /// Start of the run, RFC 3339 in UTC: `run_started_at`.
    pub run_started_at: String,
    /// Id of the run: `invocation_id`.
    pub invocation_id: String,
}

impl LoadOptions {
    /// Reads the text of `--vars`: a YAML or JSON mapping.
    ///
    /// # Errors
    /// When the text is no mapping.
    pub fn parse_vars(text: &str) -> Result<Map<String, Json>> {
        let yaml = crate::yaml::Yaml::parse(Path::new("--vars"), text)?;
        yaml.object("--vars").map_err(|error| error.with_hint("write `--vars '{name: value}'`"))
    }
}

/// A loaded project.
#[derive(Debug)]
pub struct Project {
    /// Folder with `dbt_project.yml`.
    pub dir: PathBuf,
    /// `name` of the project.
    pub name: String,
    /// `version`.
    pub version: Option<String>,
    /// `target-path`, relative; `target` by default.
    pub target_path: PathBuf,
    /// `clean-targets`, relative; the target path by default.
    pub clean_targets: Vec<PathBuf>,
    /// Project vars, `--vars` applied.
    pub vars: Map<String, Json>,
    /// `flags`.
    pub flags: Map<String, Json>,
    /// The chosen target.
    pub target: Target,
    /// All nodes.
    pub manifest: Manifest,
    /// `on-run-start` and `on-run-end` hooks, raw Jinja.
    pub on_run: (Vec<String>, Vec<String>),
    /// What is odd but no reason to stop.
    pub warnings: Vec<ProjectError>,
    pub(crate) engine: Engine,
}

impl Project {
    /// Reads a project folder and resolves all references.
    ///
    /// # Errors
    /// The first fault found, in file order.
    pub fn load(options: &LoadOptions) -> Result<Self> {
        crate::load::load(options)
    }

    /// Compiles a model or data test.
    ///
    /// # Errors
    /// Faults of its Jinja, placed at the line of the model file or macro file.
    pub fn compile(&self, node: &Node, context: &CompileContext<'_>) -> Result<Compiled> {
        crate::compile::node(self, node, context)
    }

    /// Renders text (a hook, `--inline` SQL) as if it stood in `node`, or in no node.
    ///
    /// # Errors
    /// Faults of its Jinja, or unknown references in it.
    pub fn compile_text(
        &self,
        text: &str,
        node: Option<&Node>,
        context: &CompileContext<'_>,
    ) -> Result<Compiled> {
        crate::compile::text(self, text, node, context)
    }

    /// The unique ids a command is about; no `--select` means all.
    ///
    /// # Errors
    /// A selector that does not parse or matches nothing.
    pub fn select(&self, args: &SelectArgs) -> Result<BTreeSet<String>> {
        crate::select::select(self, args)
    }
}

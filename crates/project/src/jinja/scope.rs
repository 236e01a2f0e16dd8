//! What a template sees: every name, and what it means while one node is rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Object, Value};
use serde_json::{Map, Value as Json};

use super::objects::{Func, MacroFn, Moment, Relation};
use crate::node::{Overrides, RefCall};
use crate::profile::Adapter;

/// A macro and the template that holds it.
#[derive(Debug, Clone)]
pub(crate) struct MacroDef {
    pub(crate) name: String,
    /// Name of its template in the environment.
    pub(crate) template: String,
    /// `macro.<package>.<name>`.
    pub(crate) unique_id: String,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// The template's text, as long in lines as the file up to the macro's end.
    pub(crate) source: String,
    /// From the opening to the closing tag.
    pub(crate) text: String,
}

/// What is the same for all nodes of a run.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    pub(crate) project: String,
    pub(crate) macros: BTreeMap<String, Arc<MacroDef>>,
    pub(crate) builtin_macros: BTreeMap<String, Arc<MacroDef>>,
    pub(crate) vars: Map<String, Json>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) target: Map<String, Json>,
    pub(crate) flags: Map<String, Json>,
    pub(crate) full_refresh: bool,
    pub(crate) run_started_at: String,
    pub(crate) invocation_id: String,
    pub(crate) docs: BTreeMap<String, String>,
}

impl Globals {
    /// The macro of this name: the project's before ours.
    pub(crate) fn find_macro(&self, name: &str) -> Option<&Arc<MacroDef>> {
        self.macros.get(name).or_else(|| self.builtin_macros.get(name))
    }

    /// The macro that `adapter.dispatch(name)` means.
    pub(crate) fn dispatch(&self, name: &str) -> Option<&Arc<MacroDef>> {
        let prefix = self.adapter.map_or("default", Adapter::as_str);
        let candidates = [format!("{prefix}__{name}"), format!("default__{name}")];
        let own = candidates.iter().find_map(|one| self.macros.get(one));
        own.or_else(|| candidates.iter().find_map(|one| self.builtin_macros.get(one)))
    }
}

/// A relation a template may name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolved {
    pub(crate) unique_id: String,
    pub(crate) relation: Relation,
    pub(crate) ephemeral: bool,
}

/// What was seen while rendering.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) refs: Vec<RefCall>,
    pub(crate) sources: Vec<(String, String)>,
    pub(crate) config: Vec<(String, Json)>,
    pub(crate) macros: BTreeSet<String>,
    /// Unique ids of ephemeral models named, in the order of first use.
    pub(crate) ctes: Vec<String>,
    pub(crate) logs: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// The value on its way from `return()` to the call of the macro.
    pub(crate) returned: Option<Value>,
    /// Macros inside macros.
    pub(crate) depth: usize,
}

/// What one rendering sees.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) globals: Arc<Globals>,
    /// False while parsing.
    pub(crate) execute: bool,
    pub(crate) file: PathBuf,
    pub(crate) this: Option<Relation>,
    pub(crate) is_incremental: bool,
    pub(crate) full_refresh: Option<bool>,
    /// Configuration as known before the file itself speaks.
    pub(crate) config: Map<String, Json>,
    /// The `model` variable.
    pub(crate) model: Map<String, Json>,
    /// Names given for this rendering only, such as a generic test's arguments.
    pub(crate) locals: BTreeMap<String, Value>,
    /// `name` → relation, and `source.table` → relation.
    pub(crate) refs: BTreeMap<String, Resolved>,
    pub(crate) sources: BTreeMap<(String, String), Resolved>,
    pub(crate) overrides: Overrides,
    pub(crate) record: Mutex<Record>,
}

/// Functions and name spaces a template can call.
const FUNCTIONS: [&str; 36] = [
    "ref",
    "source",
    "var",
    "env_var",
    "config",
    "is_incremental",
    "should_full_refresh",
    "return",
    "log",
    "print",
    "exceptions",
    "adapter",
    "builtins",
    "modules",
    "tojson",
    "fromjson",
    "toyaml",
    "fromyaml",
    "zip",
    "set",
    "doc",
    "run_query",
    "statement",
    "load_result",
    "store_result",
    "store_raw_result",
    "local_md5",
    "dbt",
    "api",
    "diff_of_two_dicts",
    "get_where_subquery",
    "zip_strict",
    "set_strict",
    "submit_python_job",
    "write",
    "render",
];

impl Scope {
    /// What was seen, locked.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A callable macro.
    pub(crate) fn macro_value(self: &Arc<Self>, def: &Arc<MacroDef>) -> Value {
        Value::from_object(MacroFn { scope: self.clone(), def: def.clone() })
    }

    fn func(self: &Arc<Self>, name: &str) -> Value {
        Value::from_object(Func { scope: self.clone(), name: name.to_owned() })
    }

    /// Names a misspelled one may have meant.
    pub(crate) fn known_names(&self) -> Vec<&str> {
        let fixed = ["this", "target", "execute", "model", "flags", "graph"];
        let mut names: Vec<&str> = FUNCTIONS.iter().chain(&fixed).copied().collect();
        names.extend(self.globals.macros.keys().map(String::as_str));
        names.extend(self.locals.keys().map(String::as_str));
        names
    }

    fn constant(self: &Arc<Self>, name: &str) -> Option<Value> {
        let globals = &self.globals;
        Some(match name {
            "execute" => Value::from(self.execute),
            "target" => Value::from_serialize(&globals.target),
            "this" => Value::from_object(self.this.clone()?),
            "model" => Value::from_serialize(&self.model),
            "graph" => Value::from_serialize(serde_json::json!({"nodes": {}, "sources": {}})),
            "flags" => {
                let mut flags = globals.flags.clone();
                flags.insert("FULL_REFRESH".into(), globals.full_refresh.into());
                Value::from_serialize(&flags)
            }
            "invocation_id" => Value::from(globals.invocation_id.clone()),
            "run_started_at" => Value::from_object(Moment(globals.run_started_at.clone())),
            "project_name" => Value::from(globals.project.clone()),
            "dbt_version" => Value::from("1.10.0"),
            "schema" | "database" => {
                Value::from_serialize(globals.target.get(name).unwrap_or(&Json::Null))
            }
            _ => return None,
        })
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Some(result) = self.overrides.macros.get(name) {
            let constant = super::objects::Constant(Value::from_serialize(result));
            return Some(Value::from_object(constant));
        }
        if let Some(value) = self.locals.get(name) {
            return Some(value.clone());
        }
        if let Some(def) = self.globals.macros.get(name) {
            return Some(self.macro_value(def));
        }
        if let Some(value) = self.constant(name) {
            return Some(value);
        }
        if FUNCTIONS.contains(&name) || name == self.globals.project {
            return Some(self.func(name));
        }
        self.globals.builtin_macros.get(name).map(|def| self.macro_value(def))
    }
}

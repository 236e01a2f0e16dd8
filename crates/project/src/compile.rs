//! From a node to SQL: names of relations, ephemeral models, the way back to source lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::config::Materialized;
use crate::ctes;
use crate::error::{Location, Result};
use crate::jinja::lines::strip;
use crate::jinja::objects::Relation;
use crate::jinja::scope::{Resolved, Scope};
use crate::load::{Links, generic};
use crate::node::{Node, Overrides, Source};
use crate::project::Project;

/// How the caller names things in SQL.
pub trait Relations {
    /// The SQL name of a model, seed, or stored test.
    fn relation(&self, node: &Node) -> String;

    /// The SQL name of a source table.
    fn source(&self, source: &Source) -> String;

    /// Does this node run incrementally now? (It is incremental, its table exists, and the run
    /// is no full refresh.)
    fn is_incremental(&self, node: &Node) -> bool {
        let _ = node;
        false
    }
}

/// How one node is compiled.
#[derive(Clone, Copy)]
pub struct CompileContext<'a> {
    /// Names of relations.
    pub relations: &'a dyn Relations,
    /// Unit tests: SQL names that replace those of `relations`, by unique id. A given ephemeral
    /// model is then named and not inlined.
    pub names: Option<&'a BTreeMap<String, String>>,
    /// Unit tests: vars, macros and environment for this run.
    pub overrides: Option<&'a Overrides>,
}

impl<'a> CompileContext<'a> {
    /// A context without overrides.
    pub fn new(relations: &'a dyn Relations) -> Self {
        Self { relations, names: None, overrides: None }
    }
}

/// A compiled node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// SQL without Jinja, ephemeral models inlined.
    pub sql: String,
    /// Where each line of it came from.
    pub lines: LineMap,
}

/// For each compiled line, the source line it came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineMap {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) lines: Vec<Option<(usize, usize)>>,
}

impl LineMap {
    /// File (relative to the project folder) and line of a compiled line; all count from 1.
    pub fn origin(&self, compiled_line: usize) -> Option<(&Path, usize)> {
        let (file, line) = (*self.lines.get(compiled_line.checked_sub(1)?)?)?;
        Some((self.files.get(file)?.as_path(), line))
    }

    /// The lines of one file.
    pub(crate) fn of(file: &Path, lines: Vec<Option<usize>>) -> Self {
        let lines = lines.into_iter().map(|line| Some((0, line?))).collect();
        Self { files: vec![file.to_owned()], lines }
    }

    /// File index and line of a compiled line, counted from 0.
    pub(crate) fn at(&self, index: usize) -> Option<(usize, usize)> {
        self.lines.get(index).copied().flatten()
    }
}

/// Compiles a model or data test.
pub(crate) fn node(
    project: &Project,
    node: &Node,
    context: &CompileContext<'_>,
) -> Result<Compiled> {
    let mut scope = scope(project, Some(node), &node.depends_on.nodes, context);
    scope.file.clone_from(&node.original_file_path);
    let scope = Arc::new(scope);
    let compiled = match &node.test_metadata {
        Some(test) => {
            let sql = generic::render(&project.engine, &scope, test)?;
            let lines = sql.split('\n').map(|_| Some(node.line)).collect();
            Compiled { sql, lines: LineMap::of(&node.original_file_path, lines) }
        }
        None => render(project, &node.raw_code, &scope)?,
    };
    inline(project, compiled, &scope, context)
}

/// Compiles free text: it is parsed first, so that any ref in it is known.
pub(crate) fn text(
    project: &Project,
    text: &str,
    node: Option<&Node>,
    context: &CompileContext<'_>,
) -> Result<Compiled> {
    let file = node.map_or_else(|| PathBuf::from("inline"), |node| node.original_file_path.clone());
    let mut first = scope(project, node, &[], context);
    first.execute = false;
    first.file.clone_from(&file);
    let first = Arc::new(first);
    project.engine.render(text, &first, false)?;
    let record = std::mem::take(&mut *first.record());
    let links = Links::new(&project.manifest, &project.name);
    let at = || Location::file(file.clone());
    let mut ids = Vec::new();
    for call in &record.refs {
        ids.push(links.find_ref(call).map_err(|fault| fault.at(at()))?);
    }
    for (source, table) in &record.sources {
        ids.push(links.find_source(source, table).map_err(|fault| fault.at(at()))?);
    }
    let mut second = scope(project, node, &ids, context);
    second.file = file;
    let second = Arc::new(second);
    let compiled = render(project, text, &second)?;
    inline(project, compiled, &second, context)
}

fn render(project: &Project, text: &str, scope: &Arc<Scope>) -> Result<Compiled> {
    let marked = project.engine.render(text, scope, true)?;
    let (sql, lines) = strip(&marked);
    Ok(Compiled { sql, lines: LineMap::of(&scope.file, lines) })
}

/// What a node sees when it is compiled.
fn scope(
    project: &Project,
    node: Option<&Node>,
    parents: &[String],
    context: &CompileContext<'_>,
) -> Scope {
    let mut scope =
        Scope { globals: project.engine.globals.clone(), execute: true, ..Scope::default() };
    for id in parents {
        if let Some(parent) = project.manifest.nodes.get(id) {
            let given = context.names.and_then(|names| names.get(id));
            let inlined = parent.config.materialized == Materialized::Ephemeral && given.is_none();
            let sql = match given {
                Some(name) => name.clone(),
                None if inlined => cte_name(parent),
                None => context.relations.relation(parent),
            };
            let relation = relation(parent, sql);
            let found = Resolved { unique_id: id.clone(), relation, ephemeral: inlined };
            scope.refs.insert(parent.name.clone(), found);
        } else if let Some(source) = project.manifest.sources.get(id) {
            let given = context.names.and_then(|names| names.get(id)).cloned();
            let relation = Relation {
                sql: given.unwrap_or_else(|| context.relations.source(source)),
                database: source.database.clone(),
                schema: source.schema.clone(),
                identifier: source.identifier.clone(),
            };
            let key = (source.source_name.clone(), source.name.clone());
            let found = Resolved { unique_id: id.clone(), relation, ephemeral: false };
            scope.sources.insert(key, found);
        }
    }
    if let Some(node) = node {
        let given = context.names.and_then(|names| names.get(&node.unique_id)).cloned();
        let sql = given.unwrap_or_else(|| context.relations.relation(node));
        scope.this = Some(relation(node, sql));
        scope.is_incremental = context.relations.is_incremental(node);
        scope.full_refresh = node.config.full_refresh;
        scope.config = match serde_json::to_value(&node.config) {
            Ok(Json::Object(map)) => map,
            _ => Map::new(),
        };
        scope.config.extend(node.unrendered_config.clone());
        scope.model = match serde_json::to_value(node) {
            Ok(Json::Object(map)) => map,
            _ => Map::new(),
        };
    }
    if let Some(overrides) = context.overrides {
        scope.overrides = overrides.clone();
    }
    scope
}

fn relation(node: &Node, sql: String) -> Relation {
    Relation {
        sql,
        database: node.database.clone(),
        schema: node.schema.clone(),
        identifier: node.alias.clone(),
    }
}

fn cte_name(node: &Node) -> String {
    format!("__dbt__cte__{}", node.name)
}

/// Puts the ephemeral models a text names, and those they name, before it.
fn inline(
    project: &Project,
    compiled: Compiled,
    scope: &Scope,
    context: &CompileContext<'_>,
) -> Result<Compiled> {
    let mut parts: Vec<(String, Compiled)> = Vec::new();
    let direct = scope.record().ctes.clone();
    for id in direct {
        collect(project, &id, context, &mut parts)?;
    }
    Ok(ctes::prepend(&compiled, &parts))
}

fn collect(
    project: &Project,
    id: &str,
    context: &CompileContext<'_>,
    parts: &mut Vec<(String, Compiled)>,
) -> Result<()> {
    let Some(node) = project.manifest.nodes.get(id) else { return Ok(()) };
    let name = cte_name(node);
    if parts.iter().any(|(one, _)| *one == name) {
        return Ok(());
    }
    let mut scope = scope(project, Some(node), &node.depends_on.nodes, context);
    scope.file.clone_from(&node.original_file_path);
    let scope = Arc::new(scope);
    let compiled = render(project, &node.raw_code, &scope)?;
    let direct = scope.record().ctes.clone();
    for parent in direct {
        collect(project, &parent, context, parts)?;
    }
    parts.push((name, compiled));
    Ok(())
}

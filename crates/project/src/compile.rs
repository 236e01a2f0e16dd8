//! From a node to SQL: names of relations, ephemeral models, the way back to source lines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::node::{Node, Overrides, Source};

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
    files: Vec<PathBuf>,
    lines: Vec<Option<(usize, usize)>>,
}

impl LineMap {
    /// File (relative to the project folder) and line of a compiled line; all count from 1.
    pub fn origin(&self, compiled_line: usize) -> Option<(&std::path::Path, usize)> {
        let (file, line) = (*self.lines.get(compiled_line.checked_sub(1)?)?)?;
        Some((self.files.get(file)?.as_path(), line))
    }
}

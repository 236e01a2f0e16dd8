//! Resolves `ref` and `source`, builds the graph, refuses rings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Loader, project_file};
use crate::error::{Fault, Location, Result, nearest};
use crate::manifest::Manifest;
use crate::node::{Node, RefCall, ResourceType};
use crate::yaml::Yaml;

/// Names of what can be referred to.
pub(crate) struct Links<'a> {
    project: &'a str,
    refs: BTreeMap<&'a str, &'a str>,
    disabled: BTreeSet<&'a str>,
    sources: BTreeMap<(&'a str, &'a str), &'a str>,
}

impl<'a> Links<'a> {
    /// Collects the names of a manifest.
    pub(crate) fn new(manifest: &'a Manifest, project: &'a str) -> Self {
        let is_relation = |node: &&Node| node.resource_type != ResourceType::Test;
        let entry = |node: &'a Node| (node.name.as_str(), node.unique_id.as_str());
        Self {
            project,
            refs: manifest.nodes.values().filter(is_relation).map(entry).collect(),
            disabled: manifest
                .disabled
                .values()
                .filter(is_relation)
                .map(|node| node.name.as_str())
                .collect(),
            sources: manifest
                .sources
                .values()
                .map(|one| ((one.source_name.as_str(), one.name.as_str()), one.unique_id.as_str()))
                .collect(),
        }
    }

    /// The unique id a `ref()` means.
    pub(crate) fn find_ref(&self, call: &RefCall) -> Result<String, Fault> {
        let name = match &call.package {
            Some(package) if package != self.project => format!("{package}.{}", call.name),
            _ => call.name.clone(),
        };
        if let Some(id) = self.refs.get(name.as_str()) {
            return Ok((*id).to_owned());
        }
        if self.disabled.contains(name.as_str()) {
            return Err(Fault::DisabledRef { name });
        }
        let nearest = nearest(&call.name, self.refs.keys().copied());
        Err(Fault::UnknownRef { name, nearest })
    }

    /// The unique id a `source()` means.
    pub(crate) fn find_source(&self, source: &str, table: &str) -> Result<String, Fault> {
        if let Some(id) = self.sources.get(&(source, table)) {
            return Ok((*id).to_owned());
        }
        let name = format!("{source}.{table}");
        let known: Vec<String> =
            self.sources.keys().map(|(source, table)| format!("{source}.{table}")).collect();
        let nearest = nearest(&name, known.iter().map(String::as_str));
        Err(Fault::UnknownSource { name, nearest })
    }

    /// All ids a node needs.
    fn of(&self, node: &Node) -> Result<Vec<String>> {
        let mut ids: Vec<String> = Vec::new();
        for call in &node.refs {
            let id = self.find_ref(call).map_err(|fault| fault.at(locate(node, &call.name)))?;
            ids.push(id);
        }
        for (source, table) in &node.sources {
            let found = self.find_source(source, table);
            ids.push(found.map_err(|fault| fault.at(locate(node, table)))?);
        }
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        Ok(ids)
    }
}

/// Where a node names something: the first quoted mention in its text.
fn locate(node: &Node, name: &str) -> Location {
    let file = node.original_file_path.clone();
    if node.test_metadata.is_some() {
        return Location::line(file, node.line);
    }
    for (index, row) in node.raw_code.lines().enumerate() {
        for mark in ['\'', '"'] {
            if let Some(at) = row.find(&format!("{mark}{name}{mark}")) {
                return Location::point(file, index + 1, row[..at].chars().count() + 1);
            }
        }
    }
    Location::file(file)
}

impl Loader<'_> {
    /// Fills `depends_on`, `parent_map`, `child_map`.
    pub(crate) fn link(&mut self) -> Result<()> {
        let links = Links::new(&self.manifest, &self.file.name);
        let mut found = BTreeMap::new();
        for (id, node) in &self.manifest.nodes {
            found.insert(id.clone(), links.of(node)?);
        }
        for (id, parents) in found {
            if let Some(node) = self.manifest.nodes.get_mut(&id) {
                node.depends_on.nodes = parents;
            }
        }
        self.manifest.fill_maps();
        match ring(&self.manifest) {
            Some(ring) => {
                let at = ring.first().map(|(_, file)| Location::file(file.clone()));
                let mut error = crate::ProjectError::from(Fault::Cycle { ring });
                error.at = at;
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Warns of configuration trees whose folders match no node.
    pub(crate) fn unused_trees(&mut self) {
        let all = || self.manifest.nodes.values().chain(self.manifest.disabled.values());
        let mut warnings = Vec::new();
        for (tree, kind) in [("models", ResourceType::Model), ("seeds", ResourceType::Seed)] {
            let fqns: Vec<&[String]> = all()
                .filter(|node| node.resource_type == kind)
                .map(|node| node.fqn.as_slice())
                .collect();
            for yaml in self.file.trees(tree) {
                unused(yaml, &mut Vec::new(), &fqns, &mut |path, at| {
                    let what = format!("configuration of `{tree}` for `{}`", path.join("."));
                    let detail = format!("{what} matches no node");
                    warnings.push(Fault::JinjaRender { detail }.at(at));
                });
            }
        }
        self.warnings.extend(warnings);
    }
}

fn unused(
    tree: &Yaml,
    path: &mut Vec<String>,
    fqns: &[&[String]],
    warn: &mut dyn FnMut(&[String], Location),
) {
    for entry in tree.map("tree").unwrap_or_default() {
        if project_file::tree_setting(&entry.key, &entry.value).is_some() {
            continue;
        }
        path.push(entry.key.clone());
        if fqns.iter().any(|fqn| fqn.starts_with(path)) {
            unused(&entry.value, path, fqns, warn);
        } else {
            warn(path, entry.at());
        }
        path.pop();
    }
}

/// A ring in the graph: names and files, the first again at the end.
fn ring(manifest: &Manifest) -> Option<Vec<(String, PathBuf)>> {
    let mut done = BTreeSet::new();
    for start in manifest.nodes.keys() {
        // Iterative depth-first search: each entry is a node and its next parent to look at.
        let mut stack: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((id, next)) = stack.last().copied() {
            let parents = manifest.parent_map.get(id).map(Vec::as_slice).unwrap_or_default();
            let Some(parent) = parents.get(next) else {
                done.insert(id);
                stack.pop();
                continue;
            };
            if let Some(top) = stack.last_mut() {
                top.1 += 1;
            }
            if let Some(at) = stack.iter().position(|(one, _)| one == parent) {
                let mut members: Vec<&str> = stack[at..].iter().map(|(one, _)| *one).collect();
                members.push(parent);
                return Some(members.iter().filter_map(|id| member(manifest, id)).collect());
            }
            if !done.contains(parent.as_str()) {
                stack.push((parent, 0));
            }
        }
    }
    None
}

fn member(manifest: &Manifest, id: &str) -> Option<(String, PathBuf)> {
    let node = manifest.nodes.get(id)?;
    Some((node.name.clone(), node.original_file_path.clone()))
}

//! Selectors: which nodes a command is about.
//!
//! To add a method: its name in [`parse::METHODS`], an arm in [`methods::find`].

mod methods;
mod named;
mod parse;
mod state;

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::{Fault, Result, nearest};
use crate::manifest::Manifest;
use crate::node::ResourceType;
use crate::project::Project;
use parse::{Criterion, Expression, Reach};
use state::State;

/// The selection arguments of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectArgs {
    /// `--select`, each may hold several, separated by space.
    pub select: Vec<String>,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--selector`: a name in `selectors.yml`.
    pub selector: Option<String>,
    /// `--state`: a folder with an earlier `manifest.json` (and `run_results.json`), or the file.
    pub state: Option<PathBuf>,
    /// `--allow-empty`: matching nothing is fine.
    pub allow_empty: bool,
}

/// What a criterion is looked up in.
pub(crate) struct Index<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) state: &'a State,
}

/// The unique ids a command is about.
pub(crate) fn select(project: &Project, args: &SelectArgs) -> Result<BTreeSet<String>> {
    let state = State::new(args.state.clone());
    let index = Index { manifest: &project.manifest, state: &state };
    let everything = || project.manifest.parent_map.keys().cloned().collect();
    let mut named = None;
    let mut found: BTreeSet<String> = match (&args.selector, args.select.is_empty()) {
        (Some(name), _) => {
            let expression = named::find(&project.dir, name)?;
            let found = index.eval(&expression)?;
            named = Some(name.clone());
            found
        }
        (None, true) => everything(),
        (None, false) => index.eval(&parse::parse(&args.select)?)?,
    };
    if !args.exclude.is_empty() {
        let out = index.eval(&parse::parse(&args.exclude)?)?;
        found.retain(|id| !out.contains(id));
    }
    let asked = named.is_some() || !args.select.is_empty();
    if found.is_empty() && asked && !args.allow_empty {
        let spec = named.unwrap_or_else(|| args.select.join(" "));
        let nearest = index.suggest(&args.select);
        return Err(Fault::NothingSelected { spec, nearest }.into());
    }
    Ok(found)
}

impl Index<'_> {
    /// Tests join each criterion, and nothing joins what sets were cut from, as in dbt.
    fn eval(&self, expression: &Expression) -> Result<BTreeSet<String>> {
        match expression {
            Expression::One(criterion) => Ok(self.with_tests(self.criterion(criterion)?)),
            Expression::Union(all) => {
                let mut found = BTreeSet::new();
                for one in all {
                    found.extend(self.eval(one)?);
                }
                Ok(found)
            }
            Expression::Intersection(all) => {
                let mut found: Option<BTreeSet<String>> = None;
                for one in all {
                    let next = self.eval(one)?;
                    found = Some(match found {
                        Some(found) => found.intersection(&next).cloned().collect(),
                        None => next,
                    });
                }
                Ok(found.unwrap_or_default())
            }
            Expression::Difference(from, out) => {
                let out = self.eval(out)?;
                let mut found = self.eval(from)?;
                found.retain(|id| !out.contains(id));
                Ok(found)
            }
        }
    }

    fn criterion(&self, criterion: &Criterion) -> Result<BTreeSet<String>> {
        let start = methods::find(self, criterion)?;
        let mut found = start.clone();
        if criterion.whole_family {
            let down = self.walk(&start, Reach::All, &self.manifest.child_map);
            found.extend(self.walk(&down, Reach::All, &self.manifest.parent_map));
            return Ok(found);
        }
        found.extend(self.walk(&start, criterion.parents, &self.manifest.parent_map));
        found.extend(self.walk(&start, criterion.children, &self.manifest.child_map));
        Ok(found)
    }

    /// The nodes within reach, the start included.
    fn walk(
        &self,
        start: &BTreeSet<String>,
        reach: Reach,
        map: &std::collections::BTreeMap<String, Vec<String>>,
    ) -> BTreeSet<String> {
        let mut found = start.clone();
        let mut edge: Vec<String> = start.iter().cloned().collect();
        let mut left = match reach {
            Reach::None => 0,
            Reach::Some(count) => count,
            Reach::All => usize::MAX,
        };
        while left > 0 && !edge.is_empty() {
            let next = edge.iter().filter_map(|id| map.get(id)).flatten();
            edge = next.filter(|id| found.insert((*id).clone())).cloned().collect();
            left -= 1;
        }
        found
    }

    /// Adds the tests any of whose parents is selected (dbt's `eager`).
    fn with_tests(&self, mut found: BTreeSet<String>) -> BTreeSet<String> {
        let tests: Vec<String> = found
            .iter()
            .filter_map(|id| self.manifest.child_map.get(id))
            .flatten()
            .filter(|id| self.is_test(id))
            .cloned()
            .collect();
        found.extend(tests);
        found
    }

    fn is_test(&self, id: &str) -> bool {
        self.manifest.unit_tests.contains_key(id)
            || self
                .manifest
                .nodes
                .get(id)
                .is_some_and(|node| node.resource_type == ResourceType::Test)
    }

    /// Names near to those that matched nothing.
    fn suggest(&self, specs: &[String]) -> Vec<String> {
        let manifest = self.manifest;
        let words = specs.iter().flat_map(|spec| spec.split([' ', ',']));
        let mut found: Vec<String> = Vec::new();
        for criterion in words.filter_map(|word| parse::criterion(word).ok()) {
            let tags = manifest.nodes.values().flat_map(|node| &node.config.tags);
            let nodes = manifest.nodes.values();
            let sources = manifest.sources.values();
            let value = criterion.value.as_str();
            let near = match criterion.method.as_str() {
                "tag" => nearest(value, tags.map(String::as_str)),
                "source" => nearest(value, sources.map(|one| one.source_name.as_str())),
                "path" | "file" => {
                    nearest(value, nodes.filter_map(|one| one.original_file_path.to_str()))
                }
                "fqn" => nearest(value, nodes.map(|one| one.name.as_str())),
                _ => None,
            };
            let near = near.map(|near| match criterion.method.as_str() {
                "fqn" | "path" | "file" => near,
                method => format!("{method}:{near}"),
            });
            found.extend(near);
        }
        found.dedup();
        found
    }
}

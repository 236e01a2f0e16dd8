//! What waits for what in a run: parents, and the tests that hold a model back.

use std::collections::BTreeSet;

use clicktrail_project::{Manifest, ResourceType};

use crate::workspace::Verb;

/// The order in which a verb runs nodes.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) verb: Verb,
    /// Unit tests look at the tables that their model reads: they wait until those are built.
    pub(crate) units_need_parents: bool,
}

impl<'a> Order<'a> {
    /// Whether the verb runs this node.
    pub(crate) fn takes_part(&self, id: &str) -> bool {
        let kind = self.manifest.nodes.get(id).map(|node| node.resource_type);
        let is_test = kind == Some(ResourceType::Test) || self.manifest.unit_tests.contains_key(id);
        match self.verb {
            Verb::Build => kind.is_some() || is_test,
            Verb::Run => kind == Some(ResourceType::Model),
            Verb::Seed => kind == Some(ResourceType::Seed),
            Verb::Test => is_test,
        }
    }

    /// The selected nodes that the verb runs, in the order of the graph.
    pub(crate) fn of(&self, selected: &BTreeSet<String>) -> Vec<String> {
        let wanted = |id: &String| selected.contains(id) && self.takes_part(id);
        let mut all: Vec<String> = self.manifest.order().into_iter().filter(wanted).collect();
        let missing: Vec<String> = self
            .manifest
            .unit_tests
            .keys()
            .filter(|id| wanted(id) && !all.contains(id))
            .cloned()
            .collect();
        all.extend(missing);
        all
    }

    /// Nodes that must end before `id` may begin. In a build a model also waits for its unit tests and for the
    /// data tests that read nothing but what the model itself is built from: more would be a ring.
    pub(crate) fn before(&self, id: &str) -> BTreeSet<String> {
        if let Some(test) = self.manifest.unit_tests.get(id) {
            // A unit test reads no built rows.
            return match self.units_need_parents {
                true => self.all_parents(&test.model_id),
                false => BTreeSet::new(),
            };
        }
        let mut before = self.all_parents(id);
        before.extend(self.gates(id));
        before
    }

    /// Tests that hold a model back when they fail.
    fn gates(&self, id: &str) -> Vec<String> {
        if self.is_test(id) {
            return Vec::new();
        }
        let above = ancestors(self.manifest, id);
        let mut gates: Vec<String> = above
            .iter()
            .flat_map(|parent| self.manifest.child_map.get(parent).into_iter().flatten())
            .filter(|child| self.is_test(child) && self.all_parents(child).is_subset(&above))
            .cloned()
            .collect();
        gates.extend(
            self.manifest
                .unit_tests
                .values()
                .filter(|test| test.model_id == id)
                .map(|test| test.unique_id.clone()),
        );
        gates
    }

    /// Whether it is a data test.
    pub(crate) fn is_test(&self, id: &str) -> bool {
        self.manifest.nodes.get(id).is_some_and(|node| node.resource_type == ResourceType::Test)
    }

    /// Parents of a node that are relations.
    pub(crate) fn parents(&self, id: &str) -> &'a [String] {
        self.manifest.parent_map.get(id).map_or(&[], Vec::as_slice)
    }

    /// The same as a set.
    pub(crate) fn all_parents(&self, id: &str) -> BTreeSet<String> {
        self.parents(id).iter().cloned().collect()
    }
}

/// Everything above a node.
pub(crate) fn ancestors(manifest: &Manifest, id: &str) -> BTreeSet<String> {
    let parents = |id: &str| manifest.parent_map.get(id).map_or(&[][..], Vec::as_slice);
    let mut found = BTreeSet::new();
    let mut open: Vec<&String> = parents(id).iter().collect();
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            open.extend(parents(id));
        }
    }
    found
}

//! Computes models that are local to one key together: range of keys by range of keys, chained in memory.
//!
//! "Live is batch for fewer keys": the same plans run for the keys that changed, or for all of them.
//! A range's rows are read once, every model of the segment runs on them, and only tables are written, so
//! memory is bounded by the size of a range and no table is read back in between.

mod draft;
pub(crate) mod layout;
mod output;
mod rows;
mod scope;
mod shared;
mod worker;

use std::collections::BTreeMap;

use clicktrail_project::Node;

use super::Run;
use crate::error::{PipelineError, Result};

pub(crate) use draft::Draft;

/// What a segment gave.
#[derive(Default)]
pub(crate) struct Outcome {
    /// By unique id; nothing is visible before it is published.
    pub(crate) drafts: BTreeMap<String, Draft>,
    /// A member that turned out not to be local, with the reason; then there are no drafts.
    pub(crate) not_local: Option<(String, String)>,
}

/// Computes the members, given in the order of the graph.
pub(crate) fn compute(run: &Run<'_>, key: &str, members: &[&Node]) -> Outcome {
    let layout = match layout::plan(run, key, members) {
        Ok(layout::Planned::Local(layout)) => layout,
        Ok(layout::Planned::NotLocal(id, why)) => {
            return Outcome { not_local: Some((id, why)), ..Outcome::default() };
        }
        Ok(layout::Planned::Wrong(id, error)) => return failed(members, &id, error),
        Err(error) => return failed(members, &members[0].unique_id, error),
    };
    match work(run, &layout) {
        Ok(mut drafts) => {
            // Views that no member reads are built by being defined.
            for node in members {
                drafts.entry(node.unique_id.clone()).or_insert_with(|| Draft::passed(0.0));
            }
            Outcome { drafts, not_local: None }
        }
        Err(error) => failed(members, &members[0].unique_id, error),
    }
}

fn work(run: &Run<'_>, layout: &layout::Layout<'_>) -> Result<BTreeMap<String, Draft>> {
    let scope = scope::decide(run, layout)?;
    worker::run(run, layout, &scope)
}

/// One member failed before any row was read; those before it are as they were.
fn failed(members: &[&Node], id: &str, error: PipelineError) -> Outcome {
    let mut drafts = BTreeMap::new();
    let mut error = Some(error);
    for node in members {
        if node.unique_id == id
            && let Some(error) = error.take()
        {
            drafts.insert(node.unique_id.clone(), Draft::failed(error));
            continue;
        }
        drafts.insert(node.unique_id.clone(), Draft::untouched(error.is_none()));
    }
    Outcome { drafts, not_local: None }
}

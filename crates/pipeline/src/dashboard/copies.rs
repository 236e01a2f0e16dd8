//! Tables that are not on this machine: where their copies come from, and how those stand.

use std::collections::BTreeMap;

use clicktrail_engine::delta::Snapshot;
#[cfg(feature = "bigquery")]
use clicktrail_project::Adapter;

use crate::clock::rfc3339;
use crate::error::Result;
use crate::warehouse::Warehouse;
use crate::workspace::Workspace;

/// Where tables come from that no build makes on this machine.
pub(crate) trait Origin: Send + Sync {
    /// Brings the copies in a folder up to date, all of one moment. Takes as long as their rows take.
    fn refresh(&self, copies: &Warehouse) -> Result<Refreshed>;

    /// Tables that are copied.
    fn tables(&self) -> Vec<&str>;

    /// Rows of all tables, copied or not, at the last refresh.
    fn rows(&self) -> BTreeMap<String, u64>;

    /// Which version a copy holds.
    fn version(&self, copy: &Snapshot) -> String;

    /// What a refresh is reading, in words; empty when none is under way.
    fn doing(&self) -> String;

    /// Command that makes the tables.
    fn build(&self) -> &str;

    /// Where it is, in words.
    fn told(&self) -> String;
}

/// What is copied from a target whose tables are not on this machine.
#[derive(Debug, Clone)]
pub struct CopySettings {
    /// Tables beyond those that pages need.
    pub also: Vec<String>,
    /// Rows that a table may have at most.
    pub rows_max: u64,
}

/// What a refresh of copies did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing has changed.
    Same,
    /// Other rows are there.
    New,
    /// Tables that nobody has built.
    Missing(Vec<String>),
    /// Why nothing was copied this time: the tables are not of one build now.
    Waiting(String),
}

/// How the copies stand.
#[derive(Default)]
pub(super) struct Copies {
    /// Whether they are of one moment.
    pub(super) whole: bool,
    /// Whether there are others than those that were opened last.
    pub(super) fresh: bool,
    /// When that was found last, microseconds since 1970.
    good_at: i64,
    pub(super) missing: Vec<String>,
    /// Why they are older than that.
    pub(super) stale: Option<String>,
}

impl Copies {
    /// Takes in how a refresh ended.
    pub(super) fn hear(&mut self, refreshed: &Result<Refreshed>, now_micros: i64) {
        self.missing.clear();
        let why = match refreshed {
            Ok(Refreshed::Same | Refreshed::New) => {
                let fresh = self.fresh || matches!(refreshed, Ok(Refreshed::New));
                *self = Self { whole: true, fresh, good_at: now_micros, ..Self::default() };
                return;
            }
            Ok(Refreshed::Missing(missing)) => {
                self.missing.clone_from(missing);
                format!("{} is not there any more", missing.join(", "))
            }
            Ok(Refreshed::Waiting(why)) => why.clone(),
            Err(error) => error.to_string(),
        };
        self.stale = Some(match self.good_at {
            0 => why,
            at => format!("these are the tables of {}: {why}", rfc3339(at)),
        });
    }
}

/// Where the workspace's tables come from; its warehouse is the folder of copies then.
#[cfg(feature = "bigquery")]
pub(super) fn origin(
    workspace: &mut Workspace,
    copied: &CopySettings,
) -> Result<Option<Box<dyn Origin>>> {
    if workspace.project.target.adapter != Adapter::Bigquery {
        return Ok(None);
    }
    let mirror = crate::remote::Mirror::open(workspace, copied)?;
    workspace.warehouse = workspace.warehouse.apart(mirror.folder(&workspace.project));
    Ok(Some(Box::new(mirror)))
}

#[cfg(not(feature = "bigquery"))]
pub(super) fn origin(_: &mut Workspace, _: &CopySettings) -> Result<Option<Box<dyn Origin>>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_stale_from_a_refresh_that_fails_to_one_that_does_not() {
        let mut copies = Copies::default();
        copies.hear(&Ok(Refreshed::Missing(vec!["int_users".into()])), 0);
        assert!(!copies.whole && copies.missing == ["int_users"]);
        copies.hear(&Ok(Refreshed::New), 1_000_000);
        copies.hear(&Ok(Refreshed::Same), 2_000_000);
        assert!(
            copies.whole && copies.fresh && copies.stale.is_none() && copies.missing.is_empty()
        );
        copies.hear(&Ok(Refreshed::Waiting("a build is under way".into())), 3_000_000);
        let told = "these are the tables of 1970-01-01T00:00:02.000000Z: a build is under way";
        assert_eq!(copies.stale.as_deref(), Some(told));
        assert!(copies.whole);
        copies.hear(&Ok(Refreshed::Same), 4_000_000);
        assert_eq!(copies.stale, None);
    }
}

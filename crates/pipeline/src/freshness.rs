//! `source freshness`: how old the newest rows of each source are.

use clicktrail_project::SelectArgs;

use crate::error::Result;
use crate::report::{Reporter, RunSummary};
use crate::workspace::Workspace;

impl Workspace {
    /// Age of the selected sources; writes `target/sources.json`.
    ///
    /// # Errors
    /// A source that can't be read.
    pub fn freshness(&self, select: &SelectArgs, reporter: &dyn Reporter) -> Result<RunSummary> {
        let _ = (select, reporter);
        todo!()
    }
}

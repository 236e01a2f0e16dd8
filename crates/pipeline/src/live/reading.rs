//! The door for readers: one state of all live tables, and waiting for a later one.

use std::sync::PoisonError;
use std::time::Duration;

use clicktrail_engine::datafusion::Session;
use clicktrail_project::ResourceType;

use super::restated::{self, Entry};
use super::service::{Live, not_started};
use super::status::LiveStatus;
use crate::catalog::names;
use crate::error::{PipelineError, Result};
use crate::workspace::QueryResult;

/// Rows of a live query with the frame up to which they hold.
#[derive(Debug, Clone)]
pub struct LiveRows {
    /// Last frame in the tables read.
    pub seq: u64,
    /// The rows.
    pub result: QueryResult,
}

impl Live {
    /// Waits until the tables hold the frame `seq`; false when the time is over first.
    pub fn wait_for(&self, seq: u64, timeout: Duration) -> bool {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = |status: &mut LiveStatus| status.applied_seq < seq && status.failed.is_none();
        let (status, _) = self
            .moved
            .wait_timeout_while(status, timeout, behind)
            .unwrap_or_else(PoisonError::into_inner);
        status.applied_seq >= seq
    }

    /// Runs a read-only query over the live tables, all at one frame.
    ///
    /// # Errors
    /// SQL faults; tables that are not live, with the reason; tables that stopped following.
    pub fn query(&self, sql: &str) -> Result<LiveRows> {
        let (seq, views, untold) = {
            let state = self.state();
            let status = self.status();
            let Some(marts) = &state.marts else {
                return Err(match status.failed {
                    Some(problem) => PipelineError::Located(Box::new(problem)),
                    None => not_started(),
                });
            };
            if let Some((name, why)) = marts.off().iter().find(|(name, _)| names(sql, name)) {
                return Err(PipelineError::Setting {
                    message: format!("`{name}` is not live: {why}"),
                    hint: Some("`clicktrail query` reads it as the last build left it".into()),
                });
            }
            let views = marts.views(|name| names(sql, name));
            (status.applied_seq, views, state.untold.clone())
        };
        let session = self.engine().session()?;
        for (name, view) in views {
            view.show(&session, &name)?;
        }
        self.add_fixed(&session, sql, &untold)?;
        let (schema, batches) = session.query(sql).map_err(crate::problem::of_query)?;
        Ok(LiveRows { seq, result: QueryResult { schema, batches } })
    }

    /// Seeds, which no event changes, and the ledger with what is still to come into its table.
    fn add_fixed(&self, session: &Session, sql: &str, untold: &[Entry]) -> Result<()> {
        let warehouse = &self.workspace.warehouse;
        for node in self.workspace.project.manifest.nodes.values() {
            if node.resource_type == ResourceType::Seed
                && names(sql, &node.alias)
                && let Some(table) = warehouse.snapshot(&node.alias)?
            {
                session.add_table(&node.alias, &table)?;
            }
        }
        if names(sql, restated::TABLE) {
            restated::add_ledger(warehouse, session, untold)?;
        }
        Ok(())
    }
}

//! A member's new rows, written but not yet visible.

use arrow::datatypes::SchemaRef;
use clicktrail_engine::delta::{Commit, DataFile, Removal, Snapshot};
use clicktrail_project::Node;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{PipelineError, Result};
use crate::run::{Built, Change, Run};
use crate::warehouse::BuildNote;

/// What a member of a segment came to.
pub(crate) struct Draft {
    /// Seconds of work over all threads.
    pub(crate) seconds: f64,
    state: State,
}

enum State {
    Failed(PipelineError),
    /// A view; or a member that was not reached because another failed.
    Nothing {
        reached: bool,
    },
    /// The table is as it should be.
    Unchanged(Snapshot),
    Written(Box<Written>),
}

/// Files of a table's next version.
pub(super) struct Written {
    pub(super) base: Option<Snapshot>,
    pub(super) schema: SchemaRef,
    pub(super) partition_columns: Vec<String>,
    pub(super) added: Vec<DataFile>,
    pub(super) removed: Removal,
    pub(super) note: BuildNote,
    /// Key column and the keys that were computed; `None`: all.
    pub(super) keys: Option<(String, Arc<BTreeSet<String>>)>,
    pub(super) message: String,
}

impl Draft {
    pub(super) fn failed(error: PipelineError) -> Self {
        Self { seconds: 0.0, state: State::Failed(error) }
    }

    pub(super) fn untouched(after_failure: bool) -> Self {
        Self { seconds: 0.0, state: State::Nothing { reached: !after_failure } }
    }

    pub(super) fn unchanged(snapshot: Snapshot) -> Self {
        Self { seconds: 0.0, state: State::Unchanged(snapshot) }
    }

    pub(super) fn written(written: Written, seconds: f64) -> Self {
        Self { seconds, state: State::Written(Box::new(written)) }
    }

    pub(super) fn passed(seconds: f64) -> Self {
        Self { seconds, state: State::Nothing { reached: true } }
    }

    /// Deletes what was written: it will not be published.
    pub(crate) fn discard(&self, run: &Run<'_>, node: &Node) {
        let table = run.catalog.warehouse.table(&node.alias);
        match &self.state {
            State::Written(written) => table.discard_unnamed(written.base.as_ref()),
            State::Failed(_) => {
                // A log that can't be read is left alone.
                if let Ok(base) = table.snapshot() {
                    table.discard_unnamed(base.as_ref());
                }
            }
            State::Nothing { .. } | State::Unchanged(_) => {}
        }
    }

    /// Makes the rows the table's next version.
    pub(crate) fn publish(self, run: &Run<'_>, node: &Node) -> Result<Built> {
        if matches!(self.state, State::Failed(_)) {
            self.discard(run, node);
        }
        match self.state {
            State::Failed(error) => Err(error),
            State::Nothing { reached: true } => Ok(Built::default()),
            State::Nothing { reached: false } => Err(PipelineError::Setting {
                message: "not computed, because another model of its segment failed".into(),
                hint: Some("mend that one and run `clicktrail retry`".into()),
            }),
            State::Unchanged(snapshot) => {
                Ok(Built { rows: Some(snapshot.rows()), message: "unchanged".into() })
            }
            State::Written(written) => {
                let table = run.catalog.warehouse.table(&node.alias);
                let after = table.commit(
                    written.base.as_ref(),
                    Commit {
                        schema: written.schema,
                        partition_columns: written.partition_columns,
                        added: written.added,
                        removed: written.removed,
                        note: serde_json::to_value(&written.note).unwrap_or_default(),
                        at_millis: run.clock.now_micros() / 1000,
                    },
                )?;
                let rows = after.rows();
                run.changed(
                    &node.alias,
                    Change { before: written.base, after, keys: written.keys },
                );
                Ok(Built { rows: Some(rows), message: written.message })
            }
        }
    }
}

//! The embedded engine with a workspace's limits.

use clicktrail_engine::datafusion::{Embedded, EmbeddedSettings};
use clicktrail_project::Adapter;

use crate::error::{PipelineError, Result};
use crate::workspace::Workspace;

/// Bytes that sorts, joins and aggregates may reserve before they spill, when the user sets none. They count
/// texts that several batches share once for each batch, so what is really held is far less.
const MEMORY_DEFAULT: usize = 3 << 30;

impl Workspace {
    /// The embedded engine with this workspace's limits.
    pub(crate) fn engine(&self) -> Result<Embedded> {
        if self.project.target.adapter != Adapter::Clicktrail {
            return Err(PipelineError::Adapter {
                target: self.project.target.name.clone(),
                adapter: self.project.target.adapter.as_str().to_owned(),
            });
        }
        self.engine_here()
    }

    /// The same whatever the target is, for tables that are on this machine.
    pub(crate) fn engine_here(&self) -> Result<Embedded> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match self.project.target.threads {
            0 => cores,
            // Those of another engine are jobs under way at once, not threads of this machine.
            _ if self.project.target.adapter != Adapter::Clicktrail => cores,
            threads => threads,
        };
        Ok(Embedded::new(EmbeddedSettings {
            threads,
            memory_bytes: self.settings.memory_bytes.unwrap_or(MEMORY_DEFAULT),
            spill_dir: self.warehouse.spill_dir()?,
        })?)
    }
}

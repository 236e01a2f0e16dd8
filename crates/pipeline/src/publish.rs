//! Tables of the embedded engine → a target that serves them to others, all replaced by one transaction.

#[cfg(feature = "postgres")]
mod postgres;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clicktrail_project::Adapter;

use crate::error::{PipelineError, Result};
use crate::report::Reporter;
use crate::workspace::Workspace;

/// A table to publish.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// Columns.
    pub schema: SchemaRef,
    /// Rows.
    pub batches: Vec<RecordBatch>,
}

impl Workspace {
    /// Replaces tables in this workspace's target by the given ones, all at once; gives the number of rows.
    ///
    /// # Errors
    /// A target of another kind, missing rights, types that it lacks. Nothing is replaced then.
    pub fn publish(&self, tables: &[Published], reporter: &dyn Reporter) -> Result<u64> {
        let target = &self.project.target;
        match target.adapter {
            #[cfg(feature = "bigquery")]
            Adapter::Bigquery => crate::remote::publish(self, tables, reporter),
            #[cfg(feature = "postgres")]
            Adapter::Postgres => postgres::publish(self, tables, reporter),
            Adapter::Clicktrail | Adapter::Duckdb => Err(PipelineError::Setting {
                message: format!("the target `{}` takes no published tables", target.name),
                hint: Some("name a target of the type bigquery or postgres by `--to`".into()),
            }),
            #[cfg(not(all(feature = "bigquery", feature = "postgres")))]
            adapter => Err(PipelineError::Setting {
                message: format!(
                    "this build can't publish to a target of the type {}",
                    adapter.as_str()
                ),
                hint: Some("build Clicktrail with its default features".into()),
            }),
        }
    }
}

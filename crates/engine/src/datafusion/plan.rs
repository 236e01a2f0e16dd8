//! SQL that is ready to run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::{incremental, leaves, locality};

/// SQL that has been read and checked.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) logical: LogicalPlan,
}

/// A plan with all decisions taken, to be run again and again.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) physical: Arc<dyn ExecutionPlan>,
    /// Made once: it holds copies of all functions.
    pub(super) task: Arc<TaskContext>,
}

impl Plan {
    /// Columns of the result.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.logical.schema().inner())
    }

    /// Whether the plan gives, for each value of `key`, what it would give on that value's rows alone;
    /// `keyed` says which tables have the key (others are the same for every key).
    ///
    /// # Errors
    /// The reason why not, in words for the model's author.
    pub fn check_local(&self, key: &str, keyed: &dyn Fn(&str) -> bool) -> Result<(), String> {
        locality::check(&self.logical, key, keyed)
    }

    /// Whether each row may be given several times without changing the result, and rows that were given
    /// before may be left out once their columns' values are known: only least and greatest values are taken.
    pub fn ignores_copies(&self) -> bool {
        incremental::ignores_copies(&self.logical)
    }

    /// The plan as text, for `--debug` output and tests.
    pub fn display(&self) -> String {
        self.logical.display_indent().to_string()
    }

    /// Tables that the plan reads, each with the paths it needs; see [`super::Feed::schema`].
    pub fn reads(&self) -> BTreeMap<String, BTreeSet<String>> {
        leaves::read_leaves(&self.logical).unwrap_or_default()
    }
}

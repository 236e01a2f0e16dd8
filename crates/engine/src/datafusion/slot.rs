//! A table whose rows are exchanged between runs of one plan, so that a model is planned once and then run
//! for each range of keys.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// Holds the rows that a slot's table shows to plans started from now on.
#[derive(Clone)]
pub struct Slot {
    schema: SchemaRef,
    batches: Arc<RwLock<Vec<RecordBatch>>>,
}

impl Slot {
    /// An empty slot.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, batches: Arc::default() }
    }

    /// Columns of the rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Replaces the rows. Columns that no plan reads may be missing from them.
    pub fn set(&self, batches: Vec<RecordBatch>) {
        *self.batches.write().unwrap_or_else(PoisonError::into_inner) = batches;
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Slot").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// A [`Slot`] as a table of SQL.
#[derive(Debug)]
pub(crate) struct SlotTable(pub(crate) Slot);

#[async_trait::async_trait]
impl TableProvider for SlotTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batches = self.0.batches.read().unwrap_or_else(PoisonError::into_inner).clone();
        let schema = match projection {
            Some(columns) => Arc::new(self.0.schema.project(columns)?),
            None => self.0.schema(),
        };
        let batches =
            batches.iter().map(|batch| shaped(batch, &schema)).collect::<Result<Vec<_>>>()?;
        let exec = MemorySourceConfig::try_new_exec(&[batches], schema, None)?;
        Ok(exec)
    }
}

/// The columns of `schema` out of a batch, by name.
fn shaped(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => Ok(Arc::clone(column)),
            None => exec_err!("column `{}` was not loaded", field.name()),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

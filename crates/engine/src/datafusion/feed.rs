//! Rows from outside the warehouse, as a table: the seam through which export files reach SQL without this
//! crate knowing what an export is.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::slot::Look;

/// Batches of one partition, or the feed's own error text.
pub type FeedRows = Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>;

/// A named set of rows outside the warehouse, in independent partitions.
pub trait Feed: fmt::Debug + Send + Sync {
    /// The columns. With `leaves`, only those paths (`items.price`, or a whole column by its name) of
    /// nested columns are in the types.
    fn schema(&self, leaves: Option<&[String]>) -> SchemaRef;

    /// Number of partitions; 0 is an empty table.
    fn partitions(&self) -> usize;

    /// Starts reading one partition. Batches hold exactly the columns of `schema(Some(leaves))`.
    ///
    /// # Errors
    /// The feed's own text: which file, what is wrong, what to do.
    fn read(&self, partition: usize, leaves: &[String]) -> Result<FeedRows, String>;
}

/// A [`Feed`] as a table of SQL.
#[derive(Debug)]
pub(crate) struct FeedTable {
    feed: Arc<dyn Feed>,
    /// Paths to read; `None` reads whole columns.
    leaves: Option<Vec<String>>,
    schema: SchemaRef,
    look: Look,
}

impl FeedTable {
    pub(crate) fn new(feed: Arc<dyn Feed>, leaves: Option<Vec<String>>, look: Look) -> Self {
        let schema = feed.schema(leaves.as_deref());
        Self { feed, leaves, schema, look }
    }

    /// The paths below (or equal to) the given columns.
    fn leaves_of(&self, columns: &SchemaRef) -> Vec<String> {
        let names = columns.fields().iter().map(|field| field.name().clone());
        match &self.leaves {
            None => names.collect(),
            Some(leaves) => names
                .flat_map(|name| {
                    leaves
                        .iter()
                        .filter(move |leaf| leaf.split('.').next() == Some(name.as_str()))
                        .cloned()
                        .collect::<Vec<_>>()
                })
                .collect(),
        }
    }
}

#[async_trait::async_trait]
impl TableProvider for FeedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let parts: Vec<Option<usize>> = match self.look {
            Look::WhenPlanned => (0..self.feed.partitions()).map(Some).collect(),
            Look::WhenRun => vec![None],
        };
        if parts.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        // `count(*)` wants rows without columns; the cheapest column stands in for them.
        let read_schema = if schema.fields().is_empty() {
            Arc::new(self.schema.project(&[0])?)
        } else {
            Arc::clone(&schema)
        };
        let leaves = self.leaves_of(&read_schema);
        let partitions = parts
            .into_iter()
            .map(|partition| {
                Arc::new(FeedPartition {
                    feed: Arc::clone(&self.feed),
                    partition,
                    leaves: leaves.clone(),
                    schema: Arc::clone(&read_schema),
                }) as Arc<dyn PartitionStream>
            })
            .collect();
        let kept = schema.fields().is_empty().then(Vec::new);
        Ok(Arc::new(StreamingTableExec::try_new(
            read_schema,
            partitions,
            kept.as_ref(),
            None,
            false,
            limit,
        )?))
    }
}

#[derive(Debug)]
struct FeedPartition {
    feed: Arc<dyn Feed>,
    /// `None`: all that there are when it runs, one after another.
    partition: Option<usize>,
    leaves: Vec<String>,
    schema: SchemaRef,
}

impl PartitionStream for FeedPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let failed = |text: String| DataFusionError::External(Box::new(FeedFailure(text)));
        let schema = Arc::clone(&self.schema);
        let parts = match self.partition {
            Some(partition) => partition..partition + 1,
            None => 0..self.feed.partitions(),
        };
        let (feed, leaves) = (Arc::clone(&self.feed), self.leaves.clone());
        let rows = parts.flat_map(move |part| match feed.read(part, &leaves) {
            Ok(rows) => rows,
            Err(text) => Box::new(std::iter::once(Err(text))) as FeedRows,
        });
        let check = Arc::clone(&schema);
        let rows = rows.map(move |batch| {
            let batch = batch.map_err(failed)?;
            // A feed that breaks its promise must not reach the kernels with other types.
            if batch.schema().fields() == check.fields() {
                Ok(batch)
            } else {
                Ok(RecordBatch::try_new(Arc::clone(&check), batch.columns().to_vec())?)
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(rows)))
    }
}

/// Carries a feed's text through the engine, so that it comes out as it went in.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FeedFailure(pub(crate) String);

//! The rows of a table at one moment, for readers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use clicktrail_engine::datafusion::{Feed, FeedRows, Session};

use super::chunk::Chunk;
use super::cold::ColdChunk;
use super::rows::arrow_fault;
use crate::error::Result;

/// Parts that a query may read side by side.
const PARTS: usize = 4;

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct View {
    schema: SchemaRef,
    hot: Vec<Chunk>,
    cold: Vec<ColdChunk>,
}

/// What is read at once.
#[derive(Debug, Clone, Copy)]
enum Portion {
    Hot(usize),
    Cold(usize, usize),
}

impl View {
    pub(super) fn new(schema: SchemaRef, hot: Vec<Chunk>, cold: Vec<ColdChunk>) -> Self {
        Self { schema, hot, cold }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Makes the rows readable under a name. Rows on disk are read when a query wants them.
    ///
    /// # Errors
    /// A fault of Clicktrail.
    pub(super) fn show(self, session: &Session, name: &str) -> Result<()> {
        if self.cold.is_empty() {
            let batches =
                self.hot.iter().map(|chunk| chunk.living(None)).collect::<Result<Vec<_>, _>>();
            session.add_batches(name, self.schema(), batches.map_err(arrow_fault)?)?;
        } else {
            session.add_feed(name, Arc::new(self), None)?;
        }
        Ok(())
    }

    /// The rows, some at a time.
    pub(super) fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + '_ {
        self.portions().into_iter().map(|portion| self.read_portion(portion, None))
    }

    fn portions(&self) -> Vec<Portion> {
        let hot = (0..self.hot.len()).map(Portion::Hot);
        let cold = self.cold.iter().enumerate();
        let cold = cold.flat_map(|(chunk, rows)| {
            (0..rows.blocks()).map(move |block| Portion::Cold(chunk, block))
        });
        hot.chain(cold).collect()
    }

    fn read_portion(
        &self,
        portion: Portion,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch, ArrowError> {
        match portion {
            Portion::Hot(chunk) => self.hot[chunk].living(columns),
            Portion::Cold(chunk, block) => self.cold[chunk].living(block, columns),
        }
    }
}

impl Feed for View {
    /// Nested columns are always whole.
    fn schema(&self, _leaves: Option<&[String]>) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn partitions(&self) -> usize {
        PARTS
    }

    fn read(&self, partition: usize, leaves: &[String]) -> Result<FeedRows, String> {
        let columns = leaves.iter().map(|name| self.schema.index_of(name));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let view = self.clone();
        // One after another, so that each part has new rows and old ones.
        let portions = self.portions().into_iter().skip(partition).step_by(PARTS);
        Ok(Box::new(portions.map(move |portion| {
            view.read_portion(portion, Some(&columns)).map_err(|error| match error {
                ArrowError::IoError(place, error) => {
                    format!("cannot read live rows in {place}: {error}")
                }
                error => error.to_string(),
            })
        })))
    }
}

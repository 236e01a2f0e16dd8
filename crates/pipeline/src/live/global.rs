//! Small models over all rows, by least and greatest values only: the first day that is loaded.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use clicktrail_engine::datafusion::{Embedded, Prepared, Session, Slot};
use hashbrown::HashSet;

use super::layout::{Global, Layout};
use super::rows::{arrow_fault, joined, nullable, shaped};
use crate::error::Result;

/// A model over all rows that needs their distinct values only.
pub(super) struct GlobalStep {
    pub(super) input: String,
    /// Rows seen so far, each once.
    seen: HashSet<Box<[u8]>>,
    converter: RowConverter,
    pub(super) rows: RecordBatch,
    input_slot: Slot,
    plan: Prepared,
    slot: Slot,
    /// What it gave last.
    result: RecordBatch,
    /// Position among the steps after which it runs.
    pub(super) after: usize,
}

impl GlobalStep {
    pub(super) fn new(
        engine: &Embedded,
        position: usize,
        produced: &SchemaRef,
        layout: &Layout<'_>,
        global: &Global,
        slot: Slot,
    ) -> Result<Self> {
        let fields: Vec<_> = produced
            .fields()
            .iter()
            .filter(|field| global.columns.contains(field.name()))
            .cloned()
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let session = engine.single_threaded_session()?;
        let whole = layout.members.iter().find(|member| member.name == global.input);
        let whole = whole.map_or(&schema, |member| &member.schema);
        let input_slot = session.add_live_slot(&global.input, Arc::clone(whole))?;
        let plan = session.prepare(&session.plan(&global.sql)?)?;
        let sort =
            schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self {
            input: global.input.clone(),
            seen: HashSet::new(),
            converter: RowConverter::new(sort).map_err(arrow_fault)?,
            rows: RecordBatch::new_empty(nullable(&schema)),
            input_slot,
            plan,
            slot,
            result: RecordBatch::new_empty(nullable(&global.schema)),
            after: position,
        })
    }

    /// Takes rows in; true when there was a new one among them.
    pub(super) fn learn(&mut self, batch: &RecordBatch) -> Result<bool> {
        let schema = self.rows.schema();
        let batch = shaped(batch, &schema)?;
        let rows = self.converter.convert_columns(batch.columns()).map_err(arrow_fault)?;
        let new: BooleanArray = rows
            .iter()
            .map(|row| {
                let row: &[u8] = row.as_ref();
                let is_new = !self.seen.contains(row);
                if is_new {
                    self.seen.insert(row.into());
                }
                Some(is_new)
            })
            .collect();
        if new.true_count() == 0 {
            return Ok(false);
        }
        let new = filter_record_batch(&batch, &new).map_err(arrow_fault)?;
        self.rows = concat_batches(&schema, [&self.rows, &new]).map_err(arrow_fault)?;
        Ok(true)
    }

    /// Runs the model over the rows seen; true when it gives something else than before.
    pub(super) fn compute(&mut self, session: &Session) -> Result<bool> {
        self.input_slot.set(vec![self.rows.clone()]);
        let result = joined(&self.result.schema(), &session.run_prepared(&self.plan)?)?;
        let changed = result != self.result;
        self.slot.set(vec![result.clone()]);
        self.result = result;
        Ok(changed)
    }
}

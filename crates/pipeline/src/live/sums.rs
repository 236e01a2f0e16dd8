//! Models of sums by group, kept up to date by differences.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use clicktrail_engine::datafusion::{Embedded, IncrementalSums, Session, Slot};

use super::keyed_rows::KeyedRows;
use super::layout::Sums;
use super::rows::{arrow_fault, bag, fault, joined};
use crate::error::Result;

/// One such model with its rows, by number of the group.
pub(super) struct SumsStep {
    pub(super) name: String,
    pub(super) input: String,
    sql: String,
    input_slot: Slot,
    sums: IncrementalSums,
    session: Session,
    pub(super) rows: KeyedRows,
}

impl SumsStep {
    pub(super) fn new(engine: &Embedded, step: &Sums, table: &KeyedRows) -> Result<Self> {
        let session = engine.single_threaded_session()?;
        let input = session.add_live_slot(&step.input, table.schema())?;
        let plan = session.plan(&step.sql)?;
        let sums = IncrementalSums::new(&session, &plan, &input).map_err(fault)?;
        let rows = KeyedRows::new(&sums.schema());
        Ok(Self {
            name: step.name.clone(),
            input: step.input.clone(),
            sql: step.sql.clone(),
            input_slot: input,
            sums,
            session,
            rows,
        })
    }

    /// Sums everything anew; 1 when that gives other rows than are kept.
    pub(super) fn audit(&self, tables: &BTreeMap<String, KeyedRows>) -> Result<u64> {
        let Some(table) = tables.get(&self.input) else { return Ok(0) };
        self.input_slot.set(table.view().batches().map_err(arrow_fault)?);
        let rows = self.session.query(&self.sql);
        self.input_slot.set(Vec::new());
        let schema = self.rows.schema();
        let rows = joined(&schema, &rows?.1)?;
        let kept = joined(&schema, &self.rows.view().batches().map_err(arrow_fault)?)?;
        Ok(u64::from(bag(&rows)? != bag(&kept)?))
    }

    /// Rows of the groups that changed, before and after.
    pub(super) fn change(
        &mut self,
        gone: Vec<RecordBatch>,
        come: Vec<RecordBatch>,
    ) -> Result<(RecordBatch, RecordBatch)> {
        let changed = self.sums.change(&self.session, gone, come)?;
        let before =
            joined(&self.rows.schema(), &self.rows.gather(&changed.groups).map_err(arrow_fault)?)?;
        let there: Vec<u32> = changed
            .groups
            .iter()
            .zip(&changed.places)
            .filter(|(_, place)| place.is_some())
            .map(|(group, _)| *group)
            .collect();
        self.rows.replace(&changed.groups, &changed.rows, there).map_err(arrow_fault)?;
        Ok((before, changed.rows))
    }
}

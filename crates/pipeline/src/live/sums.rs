//! Models of sums by group, kept up to date by differences.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use clicktrail_engine::datafusion::{Embedded, IncrementalSums, Session};

use super::keyed_rows::KeyedRows;
use super::layout::Sums;
use super::rows::{arrow_fault, bag, fault, joined};
use super::tiers::Tiers;
use crate::error::Result;

/// Rows that a start sums at a time.
const LOAD_ROWS: usize = 120_000;

/// One such model with its rows, by number of the group.
pub(super) struct SumsStep {
    pub(super) name: String,
    pub(super) input: String,
    sql: String,
    sums: IncrementalSums,
    session: Session,
    engine: Embedded,
    pub(super) rows: KeyedRows,
}

impl SumsStep {
    pub(super) fn new(
        engine: &Embedded,
        step: &Sums,
        table: &KeyedRows,
        tiers: &Tiers,
    ) -> Result<Self> {
        let session = engine.single_threaded_session()?;
        let input = session.add_live_slot(&step.input, table.schema())?;
        let plan = session.plan(&step.sql)?;
        let sums = IncrementalSums::new(&session, &plan, &input).map_err(fault)?;
        let rows = KeyedRows::new(&sums.schema(), tiers);
        Ok(Self {
            name: step.name.clone(),
            input: step.input.clone(),
            sql: step.sql.clone(),
            sums,
            session,
            engine: engine.clone(),
            rows,
        })
    }

    /// Sums all rows of a start.
    pub(super) fn load(&mut self, tables: &BTreeMap<String, KeyedRows>) -> Result<()> {
        let Some(table) = tables.get(&self.input) else { return Ok(()) };
        let (mut some, mut rows) = (Vec::new(), 0);
        for batch in table.view().batches() {
            let batch = batch.map_err(arrow_fault)?;
            rows += batch.num_rows();
            some.push(batch);
            if rows >= LOAD_ROWS {
                self.change(Vec::new(), std::mem::take(&mut some))?;
                rows = 0;
            }
        }
        self.change(Vec::new(), some)?;
        Ok(())
    }

    /// Sums everything anew; 1 when that gives other rows than are kept.
    pub(super) fn audit(&self, tables: &BTreeMap<String, KeyedRows>) -> Result<u64> {
        let Some(table) = tables.get(&self.input) else { return Ok(0) };
        let session = self.engine.single_threaded_session()?;
        table.view().show(&session, &self.input)?;
        let (_, rows) = session.query(&self.sql)?;
        let schema = self.rows.schema();
        let rows = joined(&schema, &rows)?;
        let kept = self.rows.view().batches().collect::<Result<Vec<_>, _>>();
        let kept = joined(&schema, &kept.map_err(arrow_fault)?)?;
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

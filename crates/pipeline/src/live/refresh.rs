//! The touched persons computed again: by the models that read their events, and, where a table of these has changed, by those that read
//! such tables only.

use std::collections::BTreeSet;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use super::marts::{Applied, Marts};
use super::models::Made;
use super::moved::moved;
use super::restated::{Cause, restated};
use super::rows::{arrow_fault, joined, texts};
use crate::error::Result;

/// Input rows of one pass over the models: many persons are computed in several passes.
const PASS_ROWS: usize = 120_000;

/// What persons are computed again for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refresh {
    /// The reporting day, as days since 1970: figures of earlier days that change are told.
    today: i32,
    cause: Cause,
    /// Something changed that every model may read: all of them run for everybody.
    by_all_models: bool,
}

impl Refresh {
    pub(super) fn new(today: i32, cause: Cause) -> Self {
        Self { today, cause, by_all_models: false }
    }
}

/// Rows of some persons, with the number of the person of each.
struct Rows {
    rows: RecordBatch,
    persons: Vec<u32>,
}

impl Rows {
    /// Those of some persons, which are sorted.
    fn only(&self, persons: &[u32]) -> Result<Self> {
        let wanted = |person: &u32| persons.binary_search(person).is_ok();
        let mask: BooleanArray = self.persons.iter().map(|person| Some(wanted(person))).collect();
        Ok(Self {
            rows: filter_record_batch(&self.rows, &mask).map_err(arrow_fault)?,
            persons: self.persons.iter().copied().filter(wanted).collect(),
        })
    }
}

/// Rows of a model that go and come: what a sum over them moves by.
struct Change {
    /// Position of the sum.
    sum: usize,
    gone: Vec<RecordBatch>,
    come: RecordBatch,
}

impl Marts {
    /// Computes some persons again, or everybody where that is needed. `persons` are sorted.
    pub(super) fn refresh_or_all(
        &mut self,
        persons: &[u32],
        refresh: Refresh,
        applied: &mut Applied,
    ) -> Result<()> {
        if persons.is_empty() || self.refresh(persons, refresh, applied)? {
            return Ok(());
        }
        // Something that all persons share has changed.
        let everybody: Vec<u32> = (0..self.numbers.len()).collect();
        let refresh = Refresh { by_all_models: true, ..refresh };
        while !self.refresh(&everybody, refresh, applied)? {}
        self.heavy.done();
        Ok(())
    }

    /// Computes some persons again; false when a model over all rows changed, so that this is not enough.
    fn refresh(
        &mut self,
        persons: &[u32],
        refresh: Refresh,
        applied: &mut Applied,
    ) -> Result<bool> {
        for pass in self.passes(persons) {
            let mut changes = Vec::new();
            let is_enough = self.pass(pass, refresh.by_all_models, &mut changes)?;
            self.models.clear();
            for Change { sum, gone, come } in changes {
                let step = &mut self.sums[sum];
                let (before, after) = step.change(gone, vec![come])?;
                let Refresh { today, cause, .. } = refresh;
                applied.restated.extend(restated(&step.name, before, after, today, cause)?);
            }
            if !is_enough {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn passes<'p>(&self, persons: &'p [u32]) -> Vec<&'p [u32]> {
        let mut passes = Vec::new();
        let (mut start, mut rows) = (0, 0);
        for (index, person) in persons.iter().enumerate() {
            rows += self.events.count(*person);
            if rows >= PASS_ROWS {
                passes.push(&persons[start..=index]);
                (start, rows) = (index + 1, 0);
            }
        }
        if start < persons.len() {
            passes.push(&persons[start..]);
        }
        passes
    }

    fn pass(
        &mut self,
        persons: &[u32],
        by_all_models: bool,
        changes: &mut Vec<Change>,
    ) -> Result<bool> {
        let staged = self.events.gather(persons).map_err(arrow_fault)?;
        let Some(made) = self.models.run_on_events(staged)? else { return Ok(false) };
        let (mut moved_persons, mut read) = (BTreeSet::new(), Vec::new());
        for (name, rows) in self.as_kept(made)? {
            if !self.models.is_read_as_table(&name) {
                self.replace(&name, persons, rows, changes)?;
                continue;
            }
            let moved = match by_all_models {
                true => persons.to_vec(),
                false => moved(&self.tables[&name], persons, &rows.rows, &rows.persons)?,
            };
            self.replace(&name, &moved, rows.only(&moved)?, changes)?;
            moved_persons.extend(moved);
            read.push((name, rows));
        }
        let moved_persons: Vec<u32> = moved_persons.into_iter().collect();
        if moved_persons.is_empty() {
            return Ok(true);
        }
        for (name, rows) in read {
            self.models.show(&name, rows.only(&moved_persons)?.rows);
        }
        let Some(made) = self.models.run_on_tables()? else { return Ok(false) };
        for (name, rows) in self.as_kept(made)? {
            self.replace(&name, &moved_persons, rows, changes)?;
        }
        Ok(true)
    }

    /// What models gave, as the live tables hold it.
    fn as_kept(&mut self, made: Made) -> Result<Vec<(String, Rows)>> {
        let mut kept = Vec::with_capacity(made.len());
        for (name, batches) in made {
            let Some(table) = self.tables.get(&name) else { continue };
            let rows = joined(&table.schema(), &batches)?;
            let persons = self.numbers.all(texts(&rows, &self.key)?);
            kept.push((name, Rows { rows, persons }));
        }
        Ok(kept)
    }

    /// Puts the new rows of some persons in the place of their old ones.
    fn replace(
        &mut self,
        name: &str,
        persons: &[u32],
        Rows { rows, persons: keys }: Rows,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let Some(table) = self.tables.get_mut(name) else { return Ok(()) };
        for (sum, _) in self.sums.iter().enumerate().filter(|(_, step)| step.input == name) {
            let gone = table.gather(persons).map_err(arrow_fault)?;
            changes.push(Change { sum, gone, come: rows.clone() });
        }
        Ok(table.replace(persons, &rows, keys).map_err(arrow_fault)?)
    }
}

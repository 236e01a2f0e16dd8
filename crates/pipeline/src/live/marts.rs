//! The live tables in memory, and the one step that moves them: events in, the touched persons computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::{Embedded, Session};
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::heavy::Heavy;
use super::keyed_rows::KeyedRows;
use super::known::Known;
use super::layout::Layout;
use super::models::Models;
use super::numbers::Numbers;
use super::refresh::Refresh;
use super::restated::{Cause, Restated, merged};
use super::rows::{arrow_fault, bag, dates, joined, same, shaped, texts};
use super::staging::{Staged, Staging};
use super::sums::SumsStep;
use super::tiers::Tiers;
use super::view::View;
use crate::catalog::{Catalog, quoted};
use crate::error::{PipelineError, Result};

/// Column that tells events apart.
const EVENT_KEY: &str = "event_key";

/// The tables of the last build.
struct Built<'a> {
    catalog: &'a Catalog<'a>,
    session: Session,
}

impl Built<'_> {
    /// Reads the columns of `schema` out of a table, `select`ed as they are or `distinct`.
    fn read(
        &self,
        name: &str,
        schema: &SchemaRef,
        select: &str,
        sink: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let Some(table) = self.catalog.warehouse.snapshot(name)? else {
            return Err(PipelineError::Setting {
                message: format!("`{name}` has not been built yet"),
                hint: Some("run `clicktrail build`".into()),
            });
        };
        // What is followed from here on is compared with builds: it must not begin with a flipped bit.
        table.verify()?;
        self.session.add_table(name, &table)?;
        let columns: Vec<String> =
            schema.fields().iter().map(|field| quoted(field.name())).collect();
        let sql = format!("select {select} {} from {}", columns.join(", "), quoted(name));
        let plan = self.session.plan(&sql)?;
        let mut failed = None;
        self.session.run(&plan, &mut |batch| {
            if failed.is_none() {
                failed = sink(shaped(&batch, schema)?).err();
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// What a handful of events did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Applied {
    /// Rows that came in.
    pub(crate) events: u64,
    /// Rows that were there already.
    pub(crate) duplicates: u64,
    /// Rows of days that an export has the say over [2.25].
    pub(crate) superseded: u64,
    /// New rows of days before the one on which they came.
    pub(crate) late: u64,
    /// Rows that were new.
    pub(crate) fresh: Option<RecordBatch>,
    /// Figures of days before `today` that are others now.
    pub(crate) restated: Vec<Restated>,
}

/// The live tables.
pub(crate) struct Marts {
    pub(super) key: String,
    staging: Arc<Staging>,
    pub(super) models: Models,
    pub(super) numbers: Numbers,
    pub(super) events: KeyedRows,
    pub(super) tables: BTreeMap<String, KeyedRows>,
    pub(super) sums: Vec<SumsStep>,
    pub(super) heavy: Heavy,
    /// Days (since 1970) that an export has the say over.
    owned_days: BTreeSet<i32>,
    off: BTreeMap<String, String>,
}

impl Marts {
    /// Loads the tables of the last build. `tiers` says how much of them is in memory.
    ///
    /// # Errors
    /// A project that can't follow a stream, tables that were not built, a full disk.
    pub(super) fn load(
        catalog: &Catalog<'_>,
        engine: &Embedded,
        owned_days: BTreeSet<i32>,
        tiers: &Tiers,
    ) -> Result<Self> {
        let layout = Layout::plan(catalog, engine)?;
        let mut marts = Self::empty(catalog, engine, &layout, owned_days, tiers)?;
        let built = Built { catalog, session: engine.session()? };
        let numbers = &mut marts.numbers;
        let key = layout.key.clone();
        // Tables first: they are written by ranges of keys, so that numbers follow the keys' order, and chunks
        // on disk hold ranges of numbers.
        let tables = marts.tables.iter_mut().map(|(name, rows)| (name, rows));
        for (name, rows) in tables.chain([(&layout.history, &mut marts.events)]) {
            built.read(name, &rows.schema(), "", &mut |batch| {
                let keys = numbers.all(texts(&batch, &key)?);
                Ok(rows.load(batch, keys).map_err(arrow_fault)?)
            })?;
            rows.loaded().map_err(arrow_fault)?;
        }
        marts.models.learn(&|name, schema, sink| built.read(name, schema, "distinct", sink))?;
        for step in &mut marts.sums {
            step.load(&marts.tables)?;
        }
        Ok(marts)
    }

    fn empty(
        catalog: &Catalog<'_>,
        engine: &Embedded,
        layout: &Layout<'_>,
        owned_days: BTreeSet<i32>,
        tiers: &Tiers,
    ) -> Result<Self> {
        let staging = Arc::new(Staging::plan(catalog, engine, layout)?);
        let models = Models::plan(catalog, engine, layout)?;
        let tables: BTreeMap<String, KeyedRows> = models
            .kept()
            .map(|(name, schema)| (name.to_owned(), KeyedRows::new(schema, tiers)))
            .collect();
        let mut sums = Vec::new();
        for step in &layout.sums {
            let Some(table) = tables.get(&step.input) else { continue };
            sums.push(SumsStep::new(engine, step, table, tiers)?);
        }
        Ok(Self {
            key: layout.key.clone(),
            staging,
            models,
            numbers: Numbers::default(),
            events: KeyedRows::new(&layout.staged_schema, tiers),
            tables,
            sums,
            heavy: Heavy::default(),
            owned_days,
            off: layout.off.clone(),
        })
    }

    /// What rows have to pass before [`Marts::apply`].
    pub(super) fn staging(&self) -> &Arc<Staging> {
        &self.staging
    }

    /// Models that a build alone keeps up to date, with the reason.
    pub(crate) fn off(&self) -> &BTreeMap<String, String> {
        &self.off
    }

    /// Every live table with its name.
    fn all(&self) -> impl Iterator<Item = (&String, &KeyedRows)> {
        self.tables.iter().chain(self.sums.iter().map(|step| (&step.name, &step.rows)))
    }

    /// One live table of persons.
    pub(super) fn table(&self, name: &str) -> Option<&KeyedRows> {
        self.tables.get(name)
    }

    /// The number of a person.
    pub(super) fn number_of(&self, key: &str) -> Option<u32> {
        self.numbers.get(key)
    }

    /// Names of the live tables.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all().map(|(name, _)| name.clone()).collect()
    }

    /// The events that the tables are made from.
    pub(crate) fn events_view(&self) -> View {
        self.events.view()
    }

    /// Each wanted live table as it is now.
    pub(crate) fn views(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, View)> {
        self.all()
            .filter(|(name, _)| wanted(name))
            .map(|(name, rows)| (name.clone(), rows.view()))
            .collect()
    }

    /// Rows of each live table, and of the events they are made from.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let tables = self.all().map(|(name, rows)| (name.clone(), rows.len() as u64));
        tables.chain([("events".to_owned(), self.events.len() as u64)]).collect()
    }

    /// Takes rows in that have passed [`Marts::staging`], and brings every live table up to date with them.
    ///
    /// `today` is the reporting day (days since 1970) when the rows were received: figures of earlier days
    /// that change are told.
    ///
    /// # Errors
    /// Rows that the models can't compute. The tables may then be half changed, and must not be shown.
    pub(super) fn apply(&mut self, staged: Staged, today: i32) -> Result<Applied> {
        let mut applied = Applied { events: staged.events, ..Applied::default() };
        let staged = joined(&self.events.schema(), &staged.rows)?;
        let staged = self.without_owned_days(staged)?;
        applied.superseded = applied.events - staged.num_rows() as u64;
        let keys = self.numbers.all(texts(&staged, &self.key)?);
        let (fresh, keys) = self.without_copies(&staged, keys)?;
        applied.duplicates = (staged.num_rows() - fresh.num_rows()) as u64;
        if fresh.num_rows() == 0 {
            return Ok(applied);
        }
        applied.late = dates(&fresh)?.iter().flatten().filter(|day| *day < today).count() as u64;
        let touched: Vec<u32> =
            keys.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect();
        self.events.append(&fresh, keys).map_err(arrow_fault)?;
        applied.fresh = Some(fresh);
        let cause = if applied.late > 0 { Cause::LateEvent } else { Cause::Event };
        let events = &self.events;
        let light = self.heavy.set_apart(&touched, cause, |person| events.count(person));
        self.refresh_or_all(&light, Refresh::new(today, cause), &mut applied)?;
        applied.restated = merged(applied.restated);
        Ok(applied)
    }

    /// Persons whose events are so many that they wait for [`Marts::catch_up`].
    pub(crate) fn waiting(&self) -> usize {
        self.heavy.waiting().len()
    }

    /// Computes the persons who wait.
    ///
    /// # Errors
    /// As [`Marts::apply`].
    pub(crate) fn catch_up(&mut self, today: i32) -> Result<Vec<Restated>> {
        let mut applied = Applied::default();
        let waiting = self.heavy.waiting();
        let is_late = waiting.values().any(|cause| *cause == Cause::LateEvent);
        let cause = if is_late { Cause::LateEvent } else { Cause::Event };
        let persons: Vec<u32> = waiting.keys().copied().collect();
        self.refresh_or_all(&persons, Refresh::new(today, cause), &mut applied)?;
        self.heavy.done();
        Ok(merged(applied.restated))
    }

    /// Computes some persons by plans made anew over rows as they are, and compares with what is kept; gives
    /// how many persons and tables differ.
    pub(crate) fn audit(&mut self, seed: u64, persons: usize) -> Result<u64> {
        let all = u64::from(self.numbers.len());
        if all == 0 {
            return Ok(0);
        }
        // A multiplier without common divisors walks over all persons in a scattered order.
        let chosen: BTreeSet<u32> = (0..persons as u64)
            .map(|step| (seed.wrapping_add(step).wrapping_mul(0x9E37_79B9_7F4A_7C15) % all) as u32)
            .collect();
        // Who waits is not computed yet, so differs.
        let chosen: Vec<u32> = chosen
            .into_iter()
            .filter(|person| !self.heavy.waiting().contains_key(person))
            .collect();
        let staged = self.events.gather(&chosen).map_err(arrow_fault)?;
        let mut mismatches = 0;
        for (name, rows) in self.models.run_anew(staged)? {
            if let Some(table) = self.tables.get(name) {
                let kept = table.gather(&chosen).map_err(arrow_fault)?;
                let kept = joined(&rows.schema(), &kept)?;
                mismatches += u64::from(bag(&rows)? != bag(&kept)?);
            }
        }
        for step in &mut self.sums {
            mismatches += step.audit(&self.tables)?;
        }
        Ok(mismatches)
    }

    fn without_owned_days(&self, staged: RecordBatch) -> Result<RecordBatch> {
        if self.owned_days.is_empty() {
            return Ok(staged);
        }
        let days = dates(&staged)?;
        let ours: BooleanArray = days
            .iter()
            .map(|day| Some(day.is_none_or(|day| !self.owned_days.contains(&day))))
            .collect();
        filter_record_batch(&staged, &ours).map_err(|error| arrow_fault(error).into())
    }

    /// Rows that are not there yet, with the number of their key.
    fn without_copies(
        &mut self,
        staged: &RecordBatch,
        keys: Vec<u32>,
    ) -> Result<(RecordBatch, Vec<u32>)> {
        let column = staged.schema().index_of(EVENT_KEY).map_err(arrow_fault)?;
        let mut known = Known::new(&mut self.events, &mut self.heavy, column, &keys)?;
        let names = staged.column(column).as_string_view();
        let mut first: HashMap<(u32, &str), SmallVec<[usize; 1]>> =
            HashMap::with_capacity(keys.len());
        let mut wanted = Vec::with_capacity(keys.len());
        let mut fresh = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            let name = names.value(row);
            let here = first.entry((*key, name)).or_default();
            let is_copy = here.iter().any(|other| same(staged, row, staged, *other))
                || known.has(*key, (staged, row))?;
            wanted.push(Some(!is_copy));
            if !is_copy {
                here.push(row);
                fresh.push(*key);
                known.remember(*key, name);
            }
        }
        if fresh.len() == keys.len() {
            return Ok((staged.clone(), fresh));
        }
        let wanted: BooleanArray = wanted.into_iter().collect();
        Ok((filter_record_batch(staged, &wanted).map_err(arrow_fault)?, fresh))
    }
}

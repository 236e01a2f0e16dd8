//! The live tables in memory, and the one step that moves them: events in, the touched persons computed again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::{Embedded, Prepared, Session, Slot};

use super::global::GlobalStep;
use super::keyed_rows::{KeyedRows, View};
use super::layout::{self, Layout};
use super::narrow::narrow;
use super::restated::{Cause, Restated, restated};
use super::rows::{arrow_fault, bag, dates, fault, joined, same, shaped, texts};
use super::sums::SumsStep;
use crate::catalog::{Catalog, quoted};
use crate::error::{PipelineError, Result};

/// Input rows of one pass over the models: many persons are computed in several passes.
const PASS_ROWS: usize = 120_000;

/// Column that tells events apart.
const EVENT_KEY: &str = "event_key";

/// A member, ready to run.
struct Step {
    name: String,
    /// Rows stay as a live table.
    kept: bool,
    is_read: bool,
    sql: String,
    plan: Prepared,
    slot: Slot,
    schema: SchemaRef,
}

/// Numbers for the keys, in order of appearance.
#[derive(Default)]
struct Numbers {
    numbers: HashMap<Box<str>, u32>,
}

impl Numbers {
    fn of(&mut self, key: &str) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(key.into(), number);
        number
    }

    fn all(&mut self, keys: &StringViewArray) -> Vec<u32> {
        keys.iter().map(|key| self.of(key.unwrap_or_default())).collect()
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
    /// Persons computed again.
    pub(crate) persons: u64,
    /// Figures of days before `today` that are others now.
    pub(crate) restated: Vec<Restated>,
}

/// The live tables.
pub(crate) struct Marts {
    key: String,
    staging: Session,
    raw: Slot,
    staging_plan: Prepared,
    session: Session,
    staged: Slot,
    steps: Vec<Step>,
    globals: Vec<GlobalStep>,
    numbers: Numbers,
    events: KeyedRows,
    tables: BTreeMap<String, KeyedRows>,
    sums: Vec<SumsStep>,
    /// Days (since 1970) that an export has the say over.
    owned_days: BTreeSet<i32>,
    leaves: Vec<String>,
    off: BTreeMap<String, String>,
}

impl Marts {
    /// Loads the tables of the last build.
    ///
    /// # Errors
    /// A project that can't follow a stream, tables that were not built.
    pub(crate) fn load(
        catalog: &Catalog<'_>,
        engine: &Embedded,
        owned_days: BTreeSet<i32>,
    ) -> Result<Self> {
        let layout = Layout::plan(catalog, engine)?;
        let mut marts = Self::empty(catalog, engine, &layout, owned_days)?;
        let reader = engine.session()?;
        let columns = |schema: &SchemaRef| {
            let names: Vec<String> =
                schema.fields().iter().map(|field| quoted(field.name())).collect();
            names.join(", ")
        };
        let read = |name: &str,
                    schema: &SchemaRef,
                    sink: &mut dyn FnMut(RecordBatch) -> Result<()>| {
            let Some(table) = catalog.warehouse.snapshot(name)? else {
                return Err(PipelineError::Setting {
                    message: format!("`{name}` has not been built yet"),
                    hint: Some("run `clicktrail build`".into()),
                });
            };
            reader.add_table(name, &table)?;
            let plan = reader.plan(&format!("select {} from {}", columns(schema), quoted(name)))?;
            let mut failed = None;
            reader.run(&plan, &mut |batch| {
                if failed.is_none() {
                    failed = sink(shaped(&batch, schema)?).err();
                }
                Ok(())
            })?;
            failed.map_or(Ok(()), Err)
        };
        let (events, numbers) = (&mut marts.events, &mut marts.numbers);
        let key = layout.key.clone();
        read(&layout.history, &layout.staged_schema, &mut |batch| {
            let keys = numbers.all(texts(&batch, &key)?);
            Ok(events.append(&batch, keys).map_err(arrow_fault)?)
        })?;
        for (name, rows) in &mut marts.tables {
            let schema = rows.schema();
            read(name, &schema, &mut |batch| {
                let keys = numbers.all(texts(&batch, &key)?);
                Ok(rows.append(&batch, keys).map_err(arrow_fault)?)
            })?;
        }
        for global in &mut marts.globals {
            let fields = global.rows.schema();
            let from = if global.input == layout.history { &layout.history } else { &global.input };
            let mut seen = Vec::new();
            read(from, &fields, &mut |batch| {
                seen.push(batch);
                Ok(())
            })?;
            for batch in seen {
                global.learn(&batch)?;
            }
            global.compute(&marts.session)?;
        }
        for step in &mut marts.sums {
            let rows = marts.tables[&step.input].view().batches().map_err(arrow_fault)?;
            step.change(Vec::new(), rows)?;
        }
        Ok(marts)
    }

    fn empty(
        catalog: &Catalog<'_>,
        engine: &Embedded,
        layout: &Layout<'_>,
        owned_days: BTreeSet<i32>,
    ) -> Result<Self> {
        let (staging, raw, staging_plan) = staging(catalog, engine, layout)?;
        let session = engine.single_threaded_session()?;
        // Slots have all columns, as SQL may name one in vain; only those that are read come into them.
        let staged = session.add_live_slot(&layout.staged, Arc::clone(&layout.whole_schema))?;
        for name in &layout.fixed {
            add_fixed(catalog, engine, &session, name)?;
        }
        let mut slots = Vec::new();
        for global in &layout.globals {
            slots.push(session.add_live_slot(&global.name, Arc::clone(&global.schema))?);
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut tables = BTreeMap::new();
        for member in &layout.members {
            let plan = session.plan(&member.sql)?;
            let schema = if member.passing { plan.schema() } else { Arc::clone(&member.schema) };
            let plan = session.prepare(&plan)?;
            let slot = session.add_live_slot(&member.name, Arc::clone(&member.schema))?;
            let kept = !member.passing;
            if kept {
                tables.insert(member.name.clone(), KeyedRows::new(&schema));
            }
            let is_read =
                member.is_read || layout.globals.iter().any(|global| global.input == member.name);
            let (name, sql) = (member.name.clone(), member.sql.clone());
            steps.push(Step { name, kept, is_read, sql, plan, slot, schema });
        }
        let mut globals = Vec::new();
        for (global, slot) in layout.globals.iter().zip(slots) {
            let after = steps
                .iter()
                .position(|step| step.name == global.input)
                .ok_or_else(|| fault(format!("`{}` reads no live model", global.name)))?;
            let produced = &steps[after].schema;
            globals.push(GlobalStep::new(engine, after, produced, layout, global, slot)?);
        }
        let mut sums = Vec::new();
        for step in &layout.sums {
            let Some(table) = tables.get(&step.input) else { continue };
            sums.push(SumsStep::new(engine, step, table)?);
        }
        Ok(Self {
            key: layout.key.clone(),
            staging,
            raw,
            staging_plan,
            session,
            staged,
            steps,
            globals,
            numbers: Numbers::default(),
            events: KeyedRows::new(&layout.staged_schema),
            tables,
            sums,
            owned_days,
            leaves: layout.leaves.clone(),
            off: layout.off.clone(),
        })
    }

    /// Paths of a raw row that the models read; other columns need not be decoded.
    pub(crate) fn leaves(&self) -> &[String] {
        &self.leaves
    }

    /// Models that a build alone keeps up to date, with the reason.
    pub(crate) fn off(&self) -> &BTreeMap<String, String> {
        &self.off
    }

    /// Each live table as it is now.
    pub(crate) fn views(&self) -> BTreeMap<String, View> {
        let kept = self.tables.iter().map(|(name, rows)| (name.clone(), rows.view()));
        let sums = self.sums.iter().map(|step| (step.name.clone(), step.rows.view()));
        kept.chain(sums).collect()
    }

    /// Rows of each live table, and of the events they are made from.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let kept = self.tables.iter().map(|(name, rows)| (name.clone(), rows.len() as u64));
        let sums = self.sums.iter().map(|step| (step.name.clone(), step.rows.len() as u64));
        kept.chain(sums).chain([("events".to_owned(), self.events.len() as u64)]).collect()
    }

    /// Bytes of all rows in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let tables: usize = self.tables.values().map(KeyedRows::bytes).sum();
        let sums: usize = self.sums.iter().map(|step| step.rows.bytes()).sum();
        (self.events.bytes() + tables + sums) as u64
    }

    /// Takes raw rows in and brings every live table up to date with them.
    ///
    /// `today` is the reporting day (days since 1970) when the rows were received: figures of earlier days
    /// that change are told.
    ///
    /// # Errors
    /// Rows that the models can't compute. The tables may then be half changed, and must not be shown.
    pub(crate) fn apply(&mut self, raw: &RecordBatch, today: i32) -> Result<Applied> {
        let mut applied = Applied { events: raw.num_rows() as u64, ..Applied::default() };
        self.raw.set(vec![narrow(raw, &self.raw.schema()).map_err(arrow_fault)?]);
        let staged = self.staging.run_prepared(&self.staging_plan);
        self.raw.set(Vec::new());
        let staged = joined(&self.events.schema(), &staged?)?;
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
        let cause = if applied.late > 0 { Cause::LateEvent } else { Cause::Event };
        let mut persons = touched;
        if !self.refresh(&persons, today, cause, &mut applied)? {
            // Something that all persons share has changed.
            persons = (0..self.numbers.numbers.len() as u32).collect();
            applied.restated.clear();
            while !self.refresh(&persons, today, cause, &mut applied)? {}
        }
        applied.persons = persons.len() as u64;
        Ok(applied)
    }

    /// Computes some persons again; false when a model over all rows changed, so that this is not enough.
    fn refresh(
        &mut self,
        persons: &[u32],
        today: i32,
        cause: Cause,
        applied: &mut Applied,
    ) -> Result<bool> {
        for pass in self.passes(persons) {
            if !self.pass(pass, today, cause, applied)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn passes<'p>(&self, persons: &'p [u32]) -> Vec<&'p [u32]> {
        let mut passes = Vec::new();
        let (mut start, mut rows) = (0, 0);
        for (index, person) in persons.iter().enumerate() {
            rows += self.events.places(*person).len();
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
        today: i32,
        cause: Cause,
        applied: &mut Applied,
    ) -> Result<bool> {
        self.staged.set(self.events.gather(persons).map_err(arrow_fault)?);
        let computed = self.compute();
        self.staged.set(Vec::new());
        let Some(computed) = computed? else { return Ok(false) };
        let mut sums: Vec<(usize, Vec<RecordBatch>, Vec<RecordBatch>)> = Vec::new();
        for (name, batches) in computed {
            let Some(table) = self.tables.get_mut(&name) else { continue };
            let rows = joined(&table.schema(), &batches)?;
            let keys = self.numbers.all(texts(&rows, &self.key)?);
            for (index, step) in self.sums.iter().enumerate() {
                if step.input == name {
                    let gone = table.gather(persons).map_err(arrow_fault)?;
                    sums.push((index, gone, vec![rows.clone()]));
                }
            }
            table.replace(persons, &rows, keys).map_err(arrow_fault)?;
        }
        for (index, gone, come) in sums {
            let step = &mut self.sums[index];
            let (before, after) = step.change(gone, come)?;
            applied.restated.extend(restated(&step.name, before, after, today, cause)?);
        }
        Ok(true)
    }

    /// Runs every model on the rows in place; `None` when a model over all rows changed.
    fn compute(&mut self) -> Result<Option<Vec<(String, Vec<RecordBatch>)>>> {
        let mut computed = Vec::new();
        let mut changed = false;
        for (index, step) in self.steps.iter().enumerate() {
            let batches = self.session.run_prepared(&step.plan)?;
            let batches = batches
                .iter()
                .map(|batch| shaped(batch, &step.schema))
                .collect::<Result<Vec<_>, _>>()?;
            for global in self.globals.iter_mut().filter(|global| global.after == index) {
                let mut learned = false;
                for batch in &batches {
                    learned |= global.learn(batch)?;
                }
                if learned {
                    changed |= global.compute(&self.session)?;
                }
            }
            if changed {
                break;
            }
            if step.is_read {
                step.slot.set(batches.clone());
            }
            if step.kept {
                computed.push((step.name.clone(), batches));
            }
        }
        for step in &self.steps {
            step.slot.set(Vec::new());
        }
        Ok((!changed).then_some(computed))
    }

    /// Computes some persons by plans made anew over rows as they are, and compares with what is kept; gives
    /// how many persons and tables differ.
    pub(crate) fn audit(&mut self, seed: u64, persons: usize) -> Result<u64> {
        let all = self.numbers.numbers.len() as u64;
        if all == 0 {
            return Ok(0);
        }
        // A multiplier without common divisors walks over all persons in a scattered order.
        let chosen: BTreeSet<u32> = (0..persons as u64)
            .map(|step| (seed.wrapping_add(step).wrapping_mul(0x9E37_79B9_7F4A_7C15) % all) as u32)
            .collect();
        let chosen: Vec<u32> = chosen.into_iter().collect();
        self.staged.set(self.events.gather(&chosen).map_err(arrow_fault)?);
        let mut mismatches = 0;
        for step in &self.steps {
            let plan = self.session.prepare(&self.session.plan(&step.sql)?)?;
            let rows = joined(&step.schema, &self.session.run_prepared(&plan)?)?;
            if let Some(table) = self.tables.get(&step.name) {
                let kept = joined(&step.schema, &table.gather(&chosen).map_err(arrow_fault)?)?;
                mismatches += u64::from(bag(&rows)? != bag(&kept)?);
            }
            step.slot.set(vec![rows]);
        }
        for step in &self.steps {
            step.slot.set(Vec::new());
        }
        self.staged.set(Vec::new());
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
        &self,
        staged: &RecordBatch,
        keys: Vec<u32>,
    ) -> Result<(RecordBatch, Vec<u32>)> {
        let column = staged.schema().index_of(EVENT_KEY).map_err(arrow_fault)?;
        let names = staged.column(column).as_string_view();
        let mut first: HashMap<(u32, &str), Vec<usize>> = HashMap::with_capacity(keys.len());
        let mut wanted = Vec::with_capacity(keys.len());
        let mut fresh = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            let name = names.value(row);
            let here = first.entry((*key, name)).or_default();
            let is_copy = here.iter().any(|other| same(staged, row, staged, *other))
                || self.events.places(*key).iter().any(|place| {
                    let (chunk, other) = self.events.row(*place);
                    chunk.column(column).as_string_view().value(other) == name
                        && same(staged, row, chunk, other)
                });
            wanted.push(Some(!is_copy));
            if !is_copy {
                here.push(row);
                fresh.push(*key);
            }
        }
        if fresh.len() == keys.len() {
            return Ok((staged.clone(), fresh));
        }
        let wanted: BooleanArray = wanted.into_iter().collect();
        Ok((filter_record_batch(staged, &wanted).map_err(arrow_fault)?, fresh))
    }
}

fn staging(
    catalog: &Catalog<'_>,
    engine: &Embedded,
    layout: &Layout<'_>,
) -> Result<(Session, Slot, Prepared)> {
    let view = catalog
        .project
        .manifest
        .nodes
        .values()
        .find(|node| node.alias == layout.staged)
        .map(|node| node.unique_id.clone())
        .unwrap_or_default();
    let open = |leaves: Option<&[String]>| -> Result<(Session, Slot, Prepared)> {
        let session = engine.single_threaded_session()?;
        let raw = layout::add_feeds(&session, leaves)?;
        let mut known: BTreeSet<String> =
            catalog.project.manifest.sources.keys().cloned().collect();
        catalog.register(&session, &view, &mut known)?;
        let plan = session.plan(&layout.staging_sql)?;
        let plan = session.prepare(&plan)?;
        Ok((session, raw, plan))
    };
    // SQL may name a leaf in a column that nobody uses: then whole rows are needed.
    open(Some(&layout.leaves)).or_else(|_| open(None))
}

/// Reads a small table into memory.
fn add_fixed(
    catalog: &Catalog<'_>,
    engine: &Embedded,
    session: &Session,
    name: &str,
) -> Result<()> {
    let Some(table) = catalog.warehouse.snapshot(name)? else { return Ok(()) };
    let reader = engine.session()?;
    reader.add_table(name, &table)?;
    let (schema, batches) = reader.query(&format!("select * from {}", quoted(name)))?;
    Ok(session.add_batches(name, schema, batches)?)
}

//! The live tables in memory, and the one step that moves them: events in, the touched persons computed again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use clicktrail_engine::datafusion::{Embedded, IncrementalSums, Prepared, Session, Slot};

use super::keyed_rows::{KeyedRows, View, nullable};
use super::layout::{self, Layout};
use super::narrow::narrow;
use super::restated::{Cause, Restated, restated};
use crate::catalog::{Catalog, quoted};
use crate::error::{PipelineError, Result};
use crate::feeds::DAY;

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

/// A model over all rows that needs their distinct values only.
struct GlobalStep {
    name: String,
    input: String,
    /// Rows seen so far, each once.
    seen: HashSet<arrow::row::OwnedRow>,
    converter: arrow::row::RowConverter,
    rows: RecordBatch,
    input_slot: Slot,
    plan: Prepared,
    slot: Slot,
    /// What it gave last.
    result: RecordBatch,
    /// Position among the steps after which it runs.
    after: usize,
}

struct SumsStep {
    name: String,
    input: String,
    sql: String,
    input_slot: Slot,
    sums: IncrementalSums,
    session: Session,
    rows: KeyedRows,
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
            globals.push(GlobalStep::new(engine, &steps, layout, global, slot)?);
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
        let late = dates(&fresh)?.iter().flatten().any(|day| day < today);
        let touched: Vec<u32> =
            keys.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect();
        self.events.append(&fresh, keys).map_err(arrow_fault)?;
        let cause = if late { Cause::LateEvent } else { Cause::Event };
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

/// Rows in an order of their own, so that equal ones compare equal however they came.
fn bag(rows: &RecordBatch) -> Result<Vec<arrow::row::OwnedRow>> {
    let fields = rows
        .columns()
        .iter()
        .map(|column| arrow::row::SortField::new(column.data_type().clone()))
        .collect();
    let converter = arrow::row::RowConverter::new(fields).map_err(arrow_fault)?;
    let converted = converter.convert_columns(rows.columns()).map_err(arrow_fault)?;
    let mut rows: Vec<_> = converted.iter().map(|row| row.owned()).collect();
    rows.sort_unstable();
    Ok(rows)
}

/// Whether two rows hold the same values.
fn same(one: &RecordBatch, row: usize, other: &RecordBatch, other_row: usize) -> bool {
    one.columns()
        .iter()
        .zip(other.columns())
        .all(|(one, other)| one.slice(row, 1).as_ref() == other.slice(other_row, 1).as_ref())
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

impl GlobalStep {
    fn new(
        engine: &Embedded,
        steps: &[Step],
        layout: &Layout<'_>,
        global: &layout::Global,
        slot: Slot,
    ) -> Result<Self> {
        let after = steps
            .iter()
            .position(|step| step.name == global.input)
            .ok_or_else(|| fault(format!("`{}` reads no live model", global.name)))?;
        let fields: Vec<_> = steps[after]
            .schema
            .fields()
            .iter()
            .filter(|field| global.columns.contains(field.name()))
            .cloned()
            .collect();
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields));
        let session = engine.single_threaded_session()?;
        let whole = layout.members.iter().find(|member| member.name == global.input);
        let whole = whole.map_or(&schema, |member| &member.schema);
        let input_slot = session.add_live_slot(&global.input, Arc::clone(whole))?;
        let plan = session.prepare(&session.plan(&global.sql)?)?;
        let sort = schema
            .fields()
            .iter()
            .map(|field| arrow::row::SortField::new(field.data_type().clone()))
            .collect();
        Ok(Self {
            name: global.name.clone(),
            input: global.input.clone(),
            seen: HashSet::new(),
            converter: arrow::row::RowConverter::new(sort).map_err(arrow_fault)?,
            rows: RecordBatch::new_empty(nullable(&schema)),
            input_slot,
            plan,
            slot,
            result: RecordBatch::new_empty(nullable(&global.schema)),
            after,
        })
    }

    /// Takes rows in; true when there was a new one among them.
    fn learn(&mut self, batch: &RecordBatch) -> Result<bool> {
        let schema = self.rows.schema();
        let batch = shaped(batch, &schema)?;
        let rows = self.converter.convert_columns(batch.columns()).map_err(arrow_fault)?;
        let new: BooleanArray =
            rows.iter().map(|row| Some(self.seen.insert(row.owned()))).collect();
        if new.true_count() == 0 {
            return Ok(false);
        }
        let new = filter_record_batch(&batch, &new).map_err(arrow_fault)?;
        self.rows = concat_batches(&schema, [&self.rows, &new]).map_err(arrow_fault)?;
        Ok(true)
    }

    /// Runs the model over the rows seen; true when it gives something else than before.
    fn compute(&mut self, session: &Session) -> Result<bool> {
        self.input_slot.set(vec![self.rows.clone()]);
        let result = joined(&self.result.schema(), &session.run_prepared(&self.plan)?)?;
        let changed = result != self.result;
        self.slot.set(vec![result.clone()]);
        self.result = result;
        Ok(changed)
    }
}

impl SumsStep {
    fn new(engine: &Embedded, step: &layout::Sums, table: &KeyedRows) -> Result<Self> {
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
    fn audit(&self, tables: &BTreeMap<String, KeyedRows>) -> Result<u64> {
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
    fn change(
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

/// The columns of `schema` out of a batch, by name, in its types.
pub(super) fn shaped(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, clicktrail_engine::EngineError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let column = batch.column_by_name(field.name()).ok_or_else(|| {
                clicktrail_engine::EngineError::Internal(format!(
                    "column `{}` is missing",
                    field.name()
                ))
            })?;
            match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()).map_err(arrow_fault),
            }
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    RecordBatch::try_new(nullable(schema), columns).map_err(arrow_fault)
}

fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let batches =
        batches.iter().map(|batch| shaped(batch, schema)).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&nullable(schema), &batches).map_err(arrow_fault)?)
}

fn texts<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b StringViewArray> {
    batch
        .column_by_name(column)
        .and_then(|column| column.as_string_view_opt())
        .ok_or_else(|| fault(format!("`{column}` is not a column of texts")))
}

/// The reporting day of each row, as days since 1970.
fn dates(batch: &RecordBatch) -> Result<arrow::array::Date32Array> {
    let column = batch
        .column_by_name(DAY)
        .ok_or_else(|| fault(format!("the staged rows have no column `{DAY}`")))?;
    let days = cast(column, &DataType::Date32).map_err(arrow_fault)?;
    Ok(days.as_primitive::<Date32Type>().clone())
}

pub(super) fn arrow_fault(error: arrow::error::ArrowError) -> clicktrail_engine::EngineError {
    clicktrail_engine::EngineError::Internal(error.to_string())
}

fn fault(message: impl Into<String>) -> PipelineError {
    clicktrail_engine::EngineError::Internal(message.into()).into()
}

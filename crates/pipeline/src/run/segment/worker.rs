//! Threads that take ranges of keys one after another and run every member on each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use clicktrail_engine::datafusion::{Feed as _, Plan, Prepared, Session, Slot};
use clicktrail_engine::delta::{
    DataFile, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};

use super::draft::{Draft, Written};
use super::layout::{Layout, Member, Views};
use super::scope::{Scope, ScopeKind, Unit, dashed, literal};
use crate::catalog::quoted;
use crate::error::{PipelineError, Result};
use crate::feeds::{DAY, ExportFeed, STREAM_NAME};
use crate::run::Run;
use crate::warehouse::BuildNote;

/// Name of the slot with the keys of a [`Unit::Keys`].
const KEYS: &str = "__keys";

/// What all workers share.
struct Shared<'a, 'b> {
    run: &'a Run<'b>,
    layout: &'a Layout<'b>,
    scope: &'a Scope,
    next: AtomicUsize,
    bases: BTreeMap<String, Option<Snapshot>>,
    sequences: BTreeMap<String, Arc<AtomicU64>>,
    failed: Mutex<BTreeMap<String, PipelineError>>,
    seconds: Mutex<BTreeMap<String, f64>>,
}

pub(super) fn run(
    run: &Run<'_>,
    layout: &Layout<'_>,
    scope: &Scope,
) -> Result<BTreeMap<String, Draft>> {
    let mut bases = BTreeMap::new();
    let mut sequences = BTreeMap::new();
    for member in layout.members.iter().filter(|member| !member.passing) {
        bases.insert(member.name.clone(), run.catalog.warehouse.snapshot(&member.name)?);
        sequences.insert(member.name.clone(), Arc::new(AtomicU64::new(0)));
    }
    let shared = Shared {
        run,
        layout,
        scope,
        next: AtomicUsize::new(0),
        bases,
        sequences,
        failed: Mutex::default(),
        seconds: Mutex::default(),
    };
    let mut files: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
    if !matches!(scope.kind, ScopeKind::Nothing) {
        let threads = run.engine.threads().clamp(1, scope.units.len().max(1));
        let written = std::thread::scope(|threads_scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| threads_scope.spawn(|| Worker::start(&shared)?.work(&shared)))
                .collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker.join().unwrap_or_else(|_| {
                        Err(PipelineError::Setting {
                            message: "a worker thread stopped unexpectedly".into(),
                            hint: Some("please report this".into()),
                        })
                    })
                })
                .collect::<Result<Vec<_>>>()
        })?;
        for (name, added) in written.into_iter().flatten() {
            files.entry(name).or_default().extend(added);
        }
    }
    finish(&shared, files)
}

/// Turns the files of all workers into one draft for each member.
fn finish(
    shared: &Shared<'_, '_>,
    mut files: BTreeMap<String, Vec<DataFile>>,
) -> Result<BTreeMap<String, Draft>> {
    let layout = shared.layout;
    let mut failed =
        std::mem::take(&mut *shared.failed.lock().unwrap_or_else(PoisonError::into_inner));
    let seconds =
        std::mem::take(&mut *shared.seconds.lock().unwrap_or_else(PoisonError::into_inner));
    let mut drafts = BTreeMap::new();
    for member in layout.members.iter().filter(|member| member.name == member.node.alias) {
        let spent = seconds.get(&member.name).copied().unwrap_or(0.0);
        let draft = if let Some(error) = failed.remove(&member.name) {
            Draft::failed(error)
        } else if member.passing {
            Draft::passed(spent)
        } else {
            let base = shared.bases.get(&member.name).cloned().flatten();
            match (&shared.scope.kind, base) {
                (ScopeKind::Nothing, Some(base)) => Draft::unchanged(base),
                (_, base) => {
                    let added = files.remove(&member.name).unwrap_or_default();
                    match written(shared, member, base, added) {
                        Ok(written) => Draft::written(written, spent),
                        Err(error) => Draft::failed(error),
                    }
                }
            }
        };
        drafts.insert(member.node.unique_id.clone(), draft);
    }
    Ok(drafts)
}

fn written(
    shared: &Shared<'_, '_>,
    member: &Member<'_>,
    base: Option<Snapshot>,
    mut added: Vec<DataFile>,
) -> Result<Written> {
    let (run, layout, scope) = (shared.run, shared.layout, shared.scope);
    let partition_columns = partition_columns(member);
    let schema = stored_schema(&member.schema)?;
    let mut note = BuildNote {
        fingerprint: run.catalog.fingerprint(member.node)?,
        key: Some(layout.key.clone()),
        inputs: BTreeMap::new(),
        days: scope.fingerprints.clone(),
        content: String::new(),
    };
    for input in layout.keyed.iter().chain(&layout.shared) {
        if reads(layout, member, &input.name) {
            note.inputs.insert(input.name.clone(), input.snapshot.version);
        }
    }
    let (removed, keys, message) = match (&scope.kind, &base) {
        (ScopeKind::Keys(keys), Some(base)) => {
            let removed = if partition_columns == [layout.key.clone()] {
                Removal::Files(files_of(base, &layout.key, keys))
            } else {
                added.extend(kept_rows(shared, member, base, keys)?);
                Removal::Everything
            };
            (
                removed,
                Some((layout.key.clone(), keys_as_stored(&layout.key, keys))),
                count(keys.len(), &layout.key),
            )
        }
        _ => (Removal::Everything, None, String::new()),
    };
    // A stream begins with no event at all; tables that had rows do not lose all of them unasked.
    let begins = layout.feeds.contains_key(STREAM_NAME)
        && base.as_ref().is_none_or(|base| base.files.is_empty());
    if added.is_empty()
        && !layout.feeds.is_empty()
        && !begins
        && leaves_nothing(base.as_ref(), &removed)
    {
        return Err(PipelineError::Setting {
            message: "the export holds no rows".into(),
            hint: Some(
                "check the var `ga4_export`; the tables built before stay as they are".into(),
            ),
        });
    }
    Ok(Written { base, schema, partition_columns, added, removed, note, keys, message })
}

/// Whether nothing of the version before stays.
fn leaves_nothing(base: Option<&Snapshot>, removed: &Removal) -> bool {
    match removed {
        Removal::Nothing => base.is_none_or(|base| base.files.is_empty()),
        Removal::Everything => true,
        Removal::Files(paths) => {
            base.is_none_or(|base| base.files.iter().all(|file| paths.contains(&file.path)))
        }
    }
}

fn count(keys: usize, key: &str) -> String {
    match (key == DAY, keys) {
        (true, 1) => "1 day".into(),
        (true, days) => format!("{days} days"),
        (false, 1) => "1 key".into(),
        (false, keys) => format!("{keys} keys"),
    }
}

/// Whether a member's rows depend on a table from outside, directly or through other members: a run that ends
/// between two commits must leave a member behind that knows it is behind.
pub(super) fn reads(layout: &Layout<'_>, member: &Member<'_>, name: &str) -> bool {
    member.inputs.contains_key(name)
        || layout
            .members
            .iter()
            .any(|other| member.parents.contains(&other.name) && reads(layout, other, name))
}

fn keys_as_stored(key: &str, keys: &Arc<BTreeSet<String>>) -> Arc<BTreeSet<String>> {
    if key == DAY {
        Arc::new(keys.iter().map(|day| dashed(day)).collect())
    } else {
        Arc::clone(keys)
    }
}

/// Files that hold nothing but rows of the given days.
fn files_of(base: &Snapshot, key: &str, keys: &Arc<BTreeSet<String>>) -> Vec<String> {
    let keys = keys_as_stored(key, keys);
    base.files
        .iter()
        .filter(|file| {
            file.partition.get(key).cloned().flatten().is_some_and(|value| keys.contains(&value))
        })
        .map(|file| file.path.clone())
        .collect()
}

/// Writes the rows of the version before whose keys were not computed again.
fn kept_rows(
    shared: &Shared<'_, '_>,
    member: &Member<'_>,
    base: &Snapshot,
    keys: &Arc<BTreeSet<String>>,
) -> Result<Vec<DataFile>> {
    let session = shared.run.engine.session()?;
    session.add_table("before", base)?;
    let slot = session.add_slot(KEYS, keys_schema())?;
    slot.set(vec![keys_batch(&keys_as_stored(&shared.layout.key, keys))?]);
    let key = quoted(&shared.layout.key);
    let sql = format!(
        "select before.* from before left anti join {KEYS} on cast(before.{key} as varchar) = {KEYS}.\"key\""
    );
    let plan = session.plan(&sql)?;
    let mut writer = writer(shared, member)?;
    session.run(&plan, &mut |batch| writer.write(&batch))?;
    Ok(writer.finish()?)
}

fn keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("key", DataType::Utf8View, false)]))
}

fn keys_batch(keys: &BTreeSet<String>) -> Result<RecordBatch> {
    let column = StringViewArray::from_iter_values(keys.iter());
    RecordBatch::try_new(keys_schema(), vec![Arc::new(column)])
        .map_err(|error| clicktrail_engine::EngineError::Internal(error.to_string()).into())
}

fn partition_columns(member: &Member<'_>) -> Vec<String> {
    member.node.config.partition_by.iter().map(|partition| partition.field.clone()).collect()
}

fn writer(shared: &Shared<'_, '_>, member: &Member<'_>) -> Result<TableWriter> {
    let base = shared.bases.get(&member.name).and_then(Option::as_ref);
    let sequence = shared.sequences.get(&member.name).cloned().unwrap_or_default();
    let settings = WriterSettings {
        partition_columns: partition_columns(member),
        unique_columns: crate::run::single::unique_columns(shared.run, member.node),
    };
    let table = shared.run.catalog.warehouse.table(&member.name);
    Ok(TableWriter::new(&table, base, stored_schema(&member.schema)?, settings, sequence)?)
}

/// How a member's SQL is run on each unit.
enum Ready {
    /// Planned for the unit's rows: their number helps to choose the smaller side of a join.
    Again(Plan),
    /// Planned once: a unit of export files is a day, and there may be hundreds with few rows each.
    Once(Prepared),
}

/// A thread's own session with everything the members read in it.
struct Worker {
    session: Session,
    slots: BTreeMap<String, Slot>,
    feeds: BTreeMap<String, Arc<ExportFeed>>,
    plans: Vec<Ready>,
    writers: Vec<Option<TableWriter>>,
}

impl Worker {
    fn start(shared: &Shared<'_, '_>) -> Result<Self> {
        let (run, layout) = (shared.run, shared.layout);
        let session = run.engine.single_threaded_session()?;
        let mut slots = BTreeMap::new();
        let mut feeds = BTreeMap::new();
        for (name, leaves) in &layout.feeds {
            let feed = run.catalog.feeds.empty();
            add_feed(run, &session, name, &feed, Some(leaves))?;
            feeds.insert(name.clone(), feed);
        }
        for input in &layout.shared {
            session.add_table(&input.name, &input.snapshot)?;
        }
        let is_planned_once = !layout.feeds.is_empty();
        let slot = |name: &str, schema: &SchemaRef| match is_planned_once {
            true => session.add_live_slot(name, Arc::clone(schema)),
            false => session.add_slot(name, Arc::clone(schema)),
        };
        for input in &layout.keyed {
            session.add_table(&stored(&input.name), &input.snapshot)?;
            slots.insert(input.name.clone(), slot(&input.name, &input.snapshot.schema)?);
        }
        slots.insert(KEYS.to_owned(), session.add_slot(KEYS, keys_schema())?);
        let mut views = Views::new(run.catalog, &layout.inside);
        let mut plans = Vec::new();
        let mut writers = Vec::new();
        for member in &layout.members {
            views.register(&session, member.node)?;
            let cluster = &member.node.config.cluster_by;
            let sql = if member.passing || cluster.is_empty() {
                member.sql.clone()
            } else {
                let columns: Vec<String> = cluster.iter().map(|column| quoted(column)).collect();
                format!("select * from (\n{}\n) order by {}", member.sql, columns.join(", "))
            };
            let plan = plan_member(run, &session, layout, &feeds, &sql)?;
            plans.push(match is_planned_once {
                true => Ready::Once(session.prepare(&plan)?),
                false => Ready::Again(plan),
            });
            slots.insert(member.name.clone(), slot(&member.name, &member.schema)?);
            writers.push(if member.passing { None } else { Some(writer(shared, member)?) });
        }
        Ok(Self { session, slots, feeds, plans, writers })
    }

    /// Takes units until none is left; gives the files written of each table.
    fn work(mut self, shared: &Shared<'_, '_>) -> Result<BTreeMap<String, Vec<DataFile>>> {
        let total = shared.scope.units.len();
        loop {
            let index = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(unit) = shared.scope.units.get(index) else { break };
            self.load(shared, unit)?;
            self.compute(shared);
            if let Some(last) = shared.layout.members.last() {
                shared.run.reporter.progress(&last.node.unique_id, index + 1, total);
            }
        }
        let mut files = BTreeMap::new();
        for (member, writer) in shared.layout.members.iter().zip(self.writers) {
            if let Some(writer) = writer {
                match writer.finish() {
                    Ok(done) => {
                        files.insert(member.name.clone(), done);
                    }
                    Err(error) => fail(shared, &member.name, &member.name, error.into()),
                }
            }
        }
        Ok(files)
    }

    /// Puts the unit's input rows in place.
    fn load(&self, shared: &Shared<'_, '_>, unit: &Unit) -> Result<()> {
        let key = &shared.layout.key;
        if let Unit::Day(day) = unit {
            let sources = shared.scope.days.days.get(day);
            for (name, feed) in &self.feeds {
                feed.set(
                    sources.and_then(|sources| sources.get(name)).cloned().unwrap_or_default(),
                );
            }
        }
        if let Unit::Keys(keys) = unit {
            self.slots[KEYS].set(vec![keys_batch(keys)?]);
        }
        for input in &shared.layout.keyed {
            let data_type = input
                .snapshot
                .schema
                .field_with_name(key)
                .map_or(DataType::Utf8View, |field| field.data_type().clone());
            let columns: Vec<String> = input.columns.iter().map(|column| quoted(column)).collect();
            let sql = format!(
                "select {} from {} {}",
                columns.join(", "),
                quoted(&stored(&input.name)),
                condition(unit, key, &data_type)
            );
            let plan = self.session.plan(&sql)?;
            let mut batches = Vec::new();
            self.session.run(&plan, &mut |batch| {
                batches.push(compact(&batch));
                Ok(())
            })?;
            self.slots[&input.name].set(batches);
        }
        Ok(())
    }

    /// Runs every member on the rows in place; a failure is noted and holds back what reads it.
    fn compute(&mut self, shared: &Shared<'_, '_>) {
        for (index, member) in shared.layout.members.iter().enumerate() {
            {
                let failed = shared.failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.contains_key(&member.node.alias)
                    || member.parents.iter().any(|name| failed.contains_key(name))
                {
                    continue;
                }
            }
            let start = shared.run.clock.seconds();
            // A fault of ours in one model must not take the others, or the run's results, with it.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.member(index, member)
            }));
            if let Err(error) = outcome.unwrap_or_else(|panic| Err(panicked(&panic))) {
                fail(shared, &member.name, &member.node.alias, error);
            }
            let spent = shared.run.clock.seconds() - start;
            let mut seconds = shared.seconds.lock().unwrap_or_else(PoisonError::into_inner);
            *seconds.entry(member.node.alias.clone()).or_default() += spent;
            drop(seconds);
            self.forget(&shared.layout.members[index + 1..]);
        }
        // The rows of a range go before those of the next come.
        self.forget(&[]);
    }

    /// Lets the rows go that none of the members still to run reads: those of a large day are most of a build's memory.
    fn forget(&self, to_run: &[Member<'_>]) {
        for (name, slot) in &self.slots {
            let is_read = |member: &Member<'_>| {
                member.parents.contains(name) || member.inputs.contains_key(name)
            };
            if !to_run.iter().any(is_read) {
                slot.set(Vec::new());
            }
        }
    }

    fn member(&mut self, index: usize, member: &Member<'_>) -> Result<()> {
        let mut kept = Vec::new();
        let writer = &mut self.writers[index];
        let mut sink = |batch: RecordBatch| {
            if let Some(writer) = writer {
                writer.write(&batch)?;
            }
            if member.is_read {
                kept.push(compact(&batch));
            }
            Ok(())
        };
        match &self.plans[index] {
            Ready::Again(plan) => self.session.run(plan, &mut sink)?,
            Ready::Once(prepared) => self.session.stream_prepared(prepared, &mut sink)?,
        }
        if member.is_read {
            self.slots[&member.name].set(kept);
        }
        Ok(())
    }
}

/// Makes a feed readable; one that has no file is empty in plans already, so that nothing is read for its sake.
fn add_feed(
    run: &Run<'_>,
    session: &Session,
    name: &str,
    feed: &Arc<ExportFeed>,
    leaves: Option<&Vec<String>>,
) -> Result<()> {
    if run.catalog.feeds.files(name).is_empty() {
        session.add_empty(name, &feed.schema(leaves.map(Vec::as_slice)))?;
    } else {
        session.add_live_feed(name, Arc::clone(feed) as _, leaves.cloned())?;
    }
    Ok(())
}

/// Plans a member over feeds reduced to the leaves that are read; SQL that merely names another leaf, in a
/// column that nobody uses, gets whole feeds instead.
fn plan_member(
    run: &Run<'_>,
    session: &Session,
    layout: &Layout<'_>,
    feeds: &BTreeMap<String, Arc<ExportFeed>>,
    sql: &str,
) -> Result<Plan> {
    match session.plan(sql) {
        Ok(plan) => Ok(plan),
        Err(error) if layout.feeds.is_empty() => Err(error.into()),
        Err(_) => {
            for (name, feed) in feeds {
                add_feed(run, session, name, feed, None)?;
            }
            Ok(session.plan(sql)?)
        }
    }
}

/// Copies the texts of a batch together: as they come, they are views into buffers of many other rows, which
/// would all stay in memory, and be counted again and again by sorts.
fn compact(batch: &RecordBatch) -> RecordBatch {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.as_string_view_opt() {
            Some(texts) if is_sparse(texts) => Arc::new(texts.gc()) as ArrayRef,
            _ => Arc::clone(column),
        })
        .collect();
    RecordBatch::try_new(batch.schema(), columns).unwrap_or_else(|_| batch.clone())
}

/// Whether less than half of the bytes that an array holds are its own.
fn is_sparse(texts: &StringViewArray) -> bool {
    let held: usize = texts.data_buffers().iter().map(|buffer| buffer.len()).sum();
    // Texts of up to 12 bytes lie in the view itself.
    let own: usize =
        texts.lengths().map(|length| length as usize).filter(|length| *length > 12).sum();
    held > 2 * own + (64 << 10)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> PipelineError {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    clicktrail_engine::EngineError::Internal(format!("a fault of Clicktrail: {text}")).into()
}

/// Notes a failure of a member, or of a part of one: then the model has failed, and what reads the part.
fn fail(shared: &Shared<'_, '_>, part: &str, model: &str, error: PipelineError) {
    let mut failed = shared.failed.lock().unwrap_or_else(PoisonError::into_inner);
    if part != model {
        failed.entry(part.to_owned()).or_insert_with(|| {
            clicktrail_engine::EngineError::Internal(format!("a part of `{model}` failed")).into()
        });
    }
    failed.entry(model.to_owned()).or_insert(error);
}

/// Name under which a range's table is readable as a whole.
fn stored(name: &str) -> String {
    format!("__stored__{}", name.replace('.', "__"))
}

/// The part of a query that picks a unit's rows.
fn condition(unit: &Unit, key: &str, data_type: &DataType) -> String {
    let column = quoted(key);
    match unit {
        Unit::Day(day) => format!("where {column} = {}", literal(&dashed(day), data_type)),
        Unit::Keys(_) => {
            format!("left semi join {KEYS} on cast({column} as varchar) = {KEYS}.\"key\"")
        }
        Unit::Range(None, None) => String::new(),
        // Rows without a key belong to the first range.
        Unit::Range(None, Some(upper)) => {
            format!("where {column} < {} or {column} is null", literal(upper, data_type))
        }
        Unit::Range(Some(lower), None) => {
            format!("where {column} >= {}", literal(lower, data_type))
        }
        Unit::Range(Some(lower), Some(upper)) => {
            format!(
                "where {column} >= {} and {column} < {}",
                literal(lower, data_type),
                literal(upper, data_type)
            )
        }
    }
}

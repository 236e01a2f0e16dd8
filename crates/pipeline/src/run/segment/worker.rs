//! Threads that take ranges of keys one after another and run every member on each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use clicktrail_engine::datafusion::{Feed as _, Plan, Prepared, Session, Slot};
use clicktrail_engine::delta::{DataFile, TableWriter};

use super::draft::Draft;
use super::layout::{Layout, Member, Views};
use super::output::{finish, writer};
use super::rows::{KEYS, compact, condition, keys_batch, keys_schema};
use super::scope::{Scope, ScopeKind, Unit};
use super::shared::Shared;
use crate::catalog::quoted;
use crate::error::{PipelineError, Result};
use crate::feeds::ExportFeed;
use crate::run::Run;

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
                    Err(error) => shared.fail(&member.name, &member.name, error.into()),
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
                shared.fail(&member.name, &member.node.alias, error);
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

fn panicked(panic: &(dyn std::any::Any + Send)) -> PipelineError {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    clicktrail_engine::EngineError::Internal(format!("a fault of Clicktrail: {text}")).into()
}

/// Name under which a range's table is readable as a whole.
fn stored(name: &str) -> String {
    format!("__stored__{}", name.replace('.', "__"))
}

//! Raw rows → the staged rows that everything by person is computed from. A row's staging needs no other row, so that
//! the next round is staged while the one before it is brought into the tables.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use clicktrail_engine::datafusion::{Embedded, Prepared, Session, Slot};

use super::layout::{self, Layout};
use super::rows::shaped;
use crate::catalog::{Catalog, quoted};
use crate::error::Result;

/// The staging views of a project, ready to run.
pub(super) struct Staging {
    plan: Mutex<Plan>,
}

/// Rows that are staged.
pub(super) struct Staged {
    pub(super) rows: Vec<RecordBatch>,
    /// Raw rows that they were made of, whole, in the schema of the export.
    pub(super) raw: Vec<RecordBatch>,
    /// How many these are.
    pub(super) events: u64,
    by: Arc<Staging>,
}

impl Staged {
    /// No rows yet, for [`Staged::add`].
    pub(super) fn none(by: Arc<Staging>) -> Self {
        Self { rows: Vec::new(), raw: Vec::new(), events: 0, by }
    }

    /// Stages raw rows. A few thousand at a time are done sooner than all of many: their memory is used again while it
    /// is in a core's cache.
    ///
    /// # Errors
    /// Rows that the views can't compute.
    pub(super) fn add(&mut self, raw: RecordBatch) -> Result<()> {
        self.rows.extend(self.by.stage(&raw)?);
        self.events += raw.num_rows() as u64;
        self.raw.push(raw);
        Ok(())
    }

    /// Takes in rows that came after these; gives them back where other views made them.
    pub(super) fn join(&mut self, next: Self) -> Option<Self> {
        if !next.is_by(&self.by) {
            return Some(next);
        }
        self.rows.extend(next.rows);
        self.raw.extend(next.raw);
        self.events += next.events;
        None
    }

    /// Whether these views made them: tables that were loaded anew have others.
    pub(super) fn is_by(&self, staging: &Arc<Staging>) -> bool {
        Arc::ptr_eq(&self.by, staging)
    }
}

/// Used by one caller at a time, as its rows lie in a slot while it runs.
struct Plan {
    session: Session,
    raw: Slot,
    plan: Prepared,
}

impl Staging {
    /// Plans the views.
    ///
    /// # Errors
    /// SQL that does not compile.
    pub(super) fn plan(
        catalog: &Catalog<'_>,
        engine: &Embedded,
        layout: &Layout<'_>,
    ) -> Result<Self> {
        let open = |leaves: Option<&[String]>| -> Result<Self> {
            let session = engine.single_threaded_session()?;
            let raw = layout::add_feeds(&session, leaves)?;
            let mut known: BTreeSet<String> =
                catalog.project.manifest.sources.keys().cloned().collect();
            for id in catalog.ancestors(&layout.staged_id) {
                if let Some(table) = catalog.node(&id).filter(|node| Catalog::is_stored(node)) {
                    // Each round would read it anew from its files.
                    add_fixed(catalog, engine, &session, &table.alias)?;
                    known.insert(id);
                }
            }
            catalog.register(&session, &layout.staged_id, &mut known)?;
            let plan = session.plan(&layout.staging_sql)?;
            let plan = session.prepare(&plan)?;
            Ok(Self { plan: Mutex::new(Plan { session, raw, plan }) })
        };
        // SQL may name a leaf in a column that nobody uses: then whole rows are needed.
        open(Some(&layout.leaves)).or_else(|_| open(None))
    }

    fn stage(&self, raw: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.raw.set(vec![shaped(raw, &plan.raw.schema())?]);
        let staged = plan.session.run_prepared(&plan.plan);
        plan.raw.set(Vec::new());
        Ok(staged?)
    }
}

/// Reads a small table into memory.
pub(super) fn add_fixed(
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

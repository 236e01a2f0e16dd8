//! The models by person, planned once and run on the rows of a few persons at a time: first those that read events, then those that
//! read only what stays as a table, for the persons of whom that has changed. Most events add neither a touch nor a conversion.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::{Embedded, Prepared, Session, Slot};

use super::global::GlobalStep;
use super::layout::Layout;
use super::order::{Reads, on_events, read_as_tables};
use super::rows::{fault, joined, shaped};
use super::staging::add_fixed;
use crate::catalog::Catalog;
use crate::error::Result;
use crate::run::segment::layout::Member;

/// A member, ready to run.
struct Step {
    name: String,
    /// Rows stay as a live table.
    kept: bool,
    is_read: bool,
    /// It runs with the models that read events.
    on_events: bool,
    /// It does, and a model that does not reads its table.
    is_read_as_table: bool,
    sql: String,
    plan: Prepared,
    slot: Slot,
    schema: SchemaRef,
}

/// Rows that models made, by their names.
pub(super) type Made = Vec<(String, Vec<RecordBatch>)>;

/// See the module's text.
pub(super) struct Models {
    session: Session,
    staged: Slot,
    /// In the order of the graph.
    steps: Vec<Step>,
    globals: Vec<GlobalStep>,
}

impl Models {
    /// Plans the members of a layout and what they read.
    ///
    /// # Errors
    /// SQL that does not compile.
    pub(super) fn plan(
        catalog: &Catalog<'_>,
        engine: &Embedded,
        layout: &Layout<'_>,
    ) -> Result<Self> {
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
        for member in &layout.members {
            let is_input = layout.globals.iter().any(|global| global.input == member.name);
            steps.push(Step::plan(&session, member, is_input)?);
        }
        let reads: Vec<Reads<'_>> =
            layout.members.iter().map(|member| Reads::of(member, &layout.staged)).collect();
        let on_events = on_events(&reads);
        let on_tables = read_as_tables(&reads, &on_events);
        for ((step, on_events), read) in steps.iter_mut().zip(on_events).zip(on_tables) {
            (step.on_events, step.is_read_as_table) = (on_events, read);
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
        Ok(Self { session, staged, steps, globals })
    }

    /// Name and columns of each model whose rows stay as a live table.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&str, &SchemaRef)> {
        let kept = self.steps.iter().filter(|step| step.kept);
        kept.map(|step| (step.name.as_str(), &step.schema))
    }

    /// Gives each small model over all rows what the last build has of its input: `read` is called with the table and the
    /// columns of it, and gives its distinct rows to the function.
    ///
    /// # Errors
    /// As `read`; rows that the SQL does not expect.
    pub(super) fn learn(
        &mut self,
        read: &dyn Fn(&str, &SchemaRef, &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        for global in &mut self.globals {
            let (input, schema) = (global.input.clone(), global.rows.schema());
            read(&input, &schema, &mut |batch| global.learn(&batch).map(|_| ()))?;
            global.compute(&self.session)?;
        }
        Ok(())
    }

    /// Whether a model that does not read events reads this one's table.
    pub(super) fn is_read_as_table(&self, name: &str) -> bool {
        self.steps.iter().any(|step| step.is_read_as_table && step.name == name)
    }

    /// Runs the models that read events on some persons' staged rows and gives the rows that are kept; `None` when a small
    /// model over all rows changed, so that everybody's rows may be others.
    ///
    /// # Errors
    /// Rows that the SQL does not expect.
    pub(super) fn run_on_events(&mut self, staged: Vec<RecordBatch>) -> Result<Option<Made>> {
        self.staged.set(staged);
        self.run(true)
    }

    /// The same for the others. They see the rows of [`Models::show`] and of each other.
    ///
    /// # Errors
    /// As [`Models::run_on_events`].
    pub(super) fn run_on_tables(&mut self) -> Result<Option<Made>> {
        self.run(false)
    }

    /// What the models that do not read events see of a table.
    pub(super) fn show(&self, name: &str, rows: RecordBatch) {
        for step in self.steps.iter().filter(|step| step.name == name) {
            step.slot.set(vec![rows.clone()]);
        }
    }

    fn run(&mut self, on_events: bool) -> Result<Option<Made>> {
        let mut made = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            if step.on_events != on_events {
                continue;
            }
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
                if learned && global.compute(&self.session)? {
                    return Ok(None);
                }
            }
            if step.is_read {
                step.slot.set(batches.clone());
            }
            if step.kept {
                made.push((step.name.clone(), batches));
            }
        }
        Ok(Some(made))
    }

    /// The same by plans made anew, for an audit; gives the rows of every model.
    ///
    /// # Errors
    /// As [`Models::run`].
    pub(super) fn run_anew(&self, staged: Vec<RecordBatch>) -> Result<Vec<(&str, RecordBatch)>> {
        self.staged.set(staged);
        let mut made = Vec::new();
        for step in &self.steps {
            let plan = self.session.prepare(&self.session.plan(&step.sql)?)?;
            let rows = joined(&step.schema, &self.session.run_prepared(&plan)?)?;
            step.slot.set(vec![rows.clone()]);
            made.push((step.name.as_str(), rows));
        }
        self.clear();
        Ok(made)
    }

    /// Lets the rows of a run go.
    pub(super) fn clear(&self) {
        self.staged.set(Vec::new());
        for step in &self.steps {
            step.slot.set(Vec::new());
        }
    }
}

impl Step {
    /// Plans a member; those after it may read it. `is_input`: a small model over all rows reads it.
    fn plan(session: &Session, member: &Member<'_>, is_input: bool) -> Result<Self> {
        let plan = session.plan(&member.sql)?;
        let schema = if member.passing { plan.schema() } else { Arc::clone(&member.schema) };
        Ok(Self {
            name: member.name.clone(),
            kept: !member.passing,
            is_read: member.is_read || is_input,
            on_events: true,
            is_read_as_table: false,
            sql: member.sql.clone(),
            plan: session.prepare(&plan)?,
            slot: session.add_live_slot(&member.name, Arc::clone(&member.schema))?,
            schema,
        })
    }
}

//! A session: tables and views under names, SQL in, batches out.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::failure::{planning_failure, running_failure};
use super::feed::{Feed, FeedTable};
use super::functions;
use super::plan::{Plan, Prepared};
use super::rules::physical_rules;
use super::slot::{Look, Slot, SlotTable};
use crate::delta::{DeltaProvider, Snapshot};
use crate::error::{EngineError, Result};

/// Rows of a batch: a few columns of it stay in a core's cache.
pub(super) const BATCH_ROWS: usize = 8_192;

/// Limits of the embedded engine.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// Worker threads of a session that works on one query.
    pub threads: usize,
    /// Bytes that sorts, joins and aggregates may hold before they spill.
    pub memory_bytes: usize,
    /// Where they spill to.
    pub spill_dir: PathBuf,
}

/// The embedded engine: what its sessions share.
#[derive(Debug, Clone)]
pub struct Embedded {
    settings: EmbeddedSettings,
    runtime: Arc<RuntimeEnv>,
}

impl Embedded {
    /// Sets the engine up; opens nothing.
    ///
    /// # Errors
    /// [`EngineError::Internal`] when the engine refuses its settings.
    pub fn new(settings: EmbeddedSettings) -> Result<Self> {
        let pool = TrackConsumersPool::new(
            FairSpillPool::new(settings.memory_bytes),
            std::num::NonZeroUsize::MIN.saturating_add(4),
        );
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![settings.spill_dir.clone()]));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        Ok(Self { settings, runtime })
    }

    /// Threads given in the settings.
    pub fn threads(&self) -> usize {
        self.settings.threads
    }

    /// A session that works with all threads.
    ///
    /// # Errors
    /// [`EngineError::Internal`] when no thread can be started.
    pub fn session(&self) -> Result<Session> {
        Session::new(self, self.settings.threads.max(1))
    }

    /// A session that works on the calling thread only, for callers that run several side by side.
    ///
    /// # Errors
    /// [`EngineError::Internal`] when its event loop can't be made.
    pub fn single_threaded_session(&self) -> Result<Session> {
        Session::new(self, 1)
    }
}

/// A namespace of tables and views, and the SQL that reads them. Names may hold one dot: `source.table`.
pub struct Session {
    context: SessionContext,
    runtime: Runtime,
}

impl Session {
    fn new(engine: &Embedded, parallelism: usize) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_batch_size(BATCH_ROWS)
            .with_target_partitions(parallelism)
            .with_information_schema(false);
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = true;
        options.execution.parquet.pushdown_filters = true;
        options.execution.collect_statistics = false;
        // It would turn one walk over the params of an event into one walk for each param that is read.
        options.optimizer.enable_leaf_expression_pushdown = false;
        if parallelism == 1 {
            options.optimizer.repartition_joins = false;
            options.optimizer.repartition_aggregations = false;
            options.optimizer.repartition_windows = false;
            options.optimizer.repartition_sorts = false;
        }
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&engine.runtime))
            .with_default_features()
            .with_physical_optimizer_rules(physical_rules(parallelism))
            .build();
        let context = SessionContext::new_with_state(state);
        functions::register(&context);
        let mut builder = if parallelism == 1 {
            tokio::runtime::Builder::new_current_thread()
        } else {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(parallelism);
            builder
        };
        // Plans of nested views recurse deeply.
        let runtime = builder
            .enable_all()
            .thread_stack_size(16 << 20)
            .build()
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        Ok(Self { context, runtime })
    }

    fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        let reference = reference(name);
        if let Some(schema) = reference.schema()
            && let Some(catalog) = self.context.catalog("datafusion")
            && catalog.schema(schema).is_none()
        {
            let provider: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            catalog.register_schema(schema, provider).map_err(internal)?;
        }
        self.context.deregister_table(reference.clone()).map_err(internal)?;
        self.context.register_table(reference, table).map_err(internal)?;
        Ok(())
    }

    /// Makes one version of a warehouse table readable under its name.
    ///
    /// # Errors
    /// [`EngineError::Internal`].
    pub fn add_table(&self, name: &str, snapshot: &Snapshot) -> Result<()> {
        self.register(name, Arc::new(DeltaProvider::new(snapshot.clone())))
    }

    /// Makes rows in memory readable.
    ///
    /// # Errors
    /// [`EngineError::Internal`] when a batch is not of the schema.
    pub fn add_batches(
        &self,
        name: &str,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
    ) -> Result<()> {
        let table = MemTable::try_new(schema, vec![batches]).map_err(internal)?;
        self.register(name, Arc::new(table))
    }

    /// Makes a place for rows that are exchanged between runs of a plan.
    ///
    /// # Errors
    /// [`EngineError::Internal`].
    pub fn add_slot(&self, name: &str, schema: SchemaRef) -> Result<Slot> {
        let slot = Slot::new(schema);
        self.register(name, Arc::new(SlotTable(slot.clone(), Look::WhenPlanned)))?;
        Ok(slot)
    }

    /// The same for plans that are kept ([`Session::prepare`]): they look at the rows each time they run.
    ///
    /// # Errors
    /// [`EngineError::Internal`].
    pub fn add_live_slot(&self, name: &str, schema: SchemaRef) -> Result<Slot> {
        let slot = Slot::new(schema);
        self.register(name, Arc::new(SlotTable(slot.clone(), Look::WhenRun)))?;
        Ok(slot)
    }

    /// Makes a table without rows, known to be so when plans are made: what only serves to join it is not read.
    ///
    /// # Errors
    /// [`EngineError::Internal`].
    pub fn add_empty(&self, name: &str, schema: &SchemaRef) -> Result<()> {
        let schema = Arc::new(DFSchema::try_from(Arc::clone(schema)).map_err(internal)?);
        let nothing = EmptyRelation { produce_one_row: false, schema };
        self.register(name, Arc::new(ViewTable::new(LogicalPlan::EmptyRelation(nothing), None)))
    }

    /// Makes a feed readable; with `leaves`, only those paths of it (see [`Feed::schema`]).
    ///
    /// # Errors
    /// [`EngineError::Internal`].
    pub fn add_feed(
        &self,
        name: &str,
        feed: Arc<dyn Feed>,
        leaves: Option<Vec<String>>,
    ) -> Result<()> {
        self.register(name, Arc::new(FeedTable::new(feed, leaves, Look::WhenPlanned)))
    }

    /// The same for plans that are kept ([`Session::prepare`]): they look at the feed's parts each time they run.
    ///
    /// # Errors
    /// [`EngineError::Internal`].
    pub fn add_live_feed(
        &self,
        name: &str,
        feed: Arc<dyn Feed>,
        leaves: Option<Vec<String>>,
    ) -> Result<()> {
        self.register(name, Arc::new(FeedTable::new(feed, leaves, Look::WhenRun)))
    }

    /// Makes a query readable under a name; it runs each time it is read.
    ///
    /// # Errors
    /// [`EngineError::Sql`] when the query is wrong.
    pub fn add_view(&self, name: &str, sql: &str) -> Result<()> {
        let plan = self.logical(sql)?;
        self.register(name, Arc::new(ViewTable::new(plan, Some(sql.to_owned()))))
    }

    fn logical(&self, sql: &str) -> Result<LogicalPlan> {
        // Only planned: `SessionContext::sql` would run a CREATE TABLE at once.
        let plan = self
            .runtime
            .block_on(self.context.state().create_logical_plan(sql))
            .map_err(|error| planning_failure(&error, sql))?;
        match plan {
            LogicalPlan::Ddl(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::Statement(_) => Err(EngineError::Sql {
                message: "only queries can be run here, nothing that changes data".into(),
                position: None,
                subject: None,
                candidates: Vec::new(),
                planning: true,
            }),
            plan => Ok(plan),
        }
    }

    /// Reads and checks SQL; views in it are unfolded and unused columns dropped.
    ///
    /// # Errors
    /// [`EngineError::Sql`] when it is wrong.
    pub fn plan(&self, sql: &str) -> Result<Plan> {
        let logical = self.logical(sql)?;
        let logical = self
            .context
            .state()
            .optimize(&logical)
            .map_err(|error| planning_failure(&error, sql))?;
        Ok(Plan { logical })
    }

    /// Runs a plan and gives each batch to `sink` in order.
    ///
    /// # Errors
    /// [`EngineError::Sql`] with `planning: false` when rows are not as the SQL expects, a feed's own
    /// error, or what `sink` returned.
    pub fn run(&self, plan: &Plan, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.runtime.block_on(async {
            let physical: Arc<dyn ExecutionPlan> = self
                .context
                .state()
                .create_physical_plan(&plan.logical)
                .await
                .map_err(|error| running_failure(&error))?;
            let mut stream = execute_stream(physical, self.context.task_ctx())
                .map_err(|error| running_failure(&error))?;
            while let Some(batch) = stream.next().await {
                sink(batch.map_err(|error| running_failure(&error))?)?;
            }
            Ok(())
        })
    }

    /// Makes a plan ready to be run many times: planning costs more than a run over a few rows.
    ///
    /// # Errors
    /// [`EngineError::Sql`] when no way to run it is found.
    pub fn prepare(&self, plan: &Plan) -> Result<Prepared> {
        let physical = self
            .runtime
            .block_on(self.context.state().create_physical_plan(&plan.logical))
            .map_err(|error| running_failure(&error))?;
        Ok(Prepared { physical, task: self.context.task_ctx() })
    }

    /// Runs a prepared plan over the rows that its live slots hold now.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_prepared(&self, prepared: &Prepared) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        self.stream_prepared(prepared, &mut |batch| {
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
            Ok(())
        })?;
        Ok(batches)
    }

    /// The same, with each batch given to `sink` in order.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn stream_prepared(
        &self,
        prepared: &Prepared,
        sink: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        self.runtime.block_on(async {
            // What a join or a sort gathered in the run before must not be seen by this one.
            let physical = reset_plan_states(Arc::clone(&prepared.physical))
                .map_err(|error| running_failure(&error))?;
            let mut stream = execute_stream(physical, Arc::clone(&prepared.task))
                .map_err(|error| running_failure(&error))?;
            while let Some(batch) = stream.next().await {
                sink(batch.map_err(|error| running_failure(&error))?)?;
            }
            Ok(())
        })
    }

    /// DataFusion's own session.
    pub(super) fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Runs SQL and collects its rows.
    ///
    /// # Errors
    /// As [`Session::plan`] and [`Session::run`].
    pub fn query(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let plan = self.plan(sql)?;
        let mut batches = Vec::new();
        self.run(&plan, &mut |batch| {
            batches.push(batch);
            Ok(())
        })?;
        Ok((plan.schema(), batches))
    }

    /// The physical plan with the time and rows of each step, after running it.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub fn analyze(&self, sql: &str) -> Result<String> {
        let (_, batches) = self.query(&format!("explain analyze {sql}"))?;
        let table = arrow::util::pretty::pretty_format_batches(&batches).map_err(internal)?;
        Ok(table.to_string())
    }
}

fn reference(name: &str) -> TableReference {
    match name.split_once('.') {
        Some((schema, table)) => TableReference::partial(schema, table),
        None => TableReference::bare(name),
    }
}

fn internal(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(error.to_string())
}

//! An opened project with its engine: the door of this crate. `ask` holds the questions that change no table.

mod ask;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clicktrail_engine::delta::{Commit, Removal, TableWriter, WriterSettings, stored_schema};
use clicktrail_project::{Adapter, Project, ResourceType};

pub use self::request::{Check, CompiledNode, QueryResult, RunRequest, Settings, ShowWhat, Verb};
use crate::artifacts;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::error::{PipelineError, Result};
use crate::feeds::{Feeds, STREAM, STREAM_VAR};
use crate::report::{Reporter, RunPlan, RunSummary, Status};
use crate::run::Run;
use crate::warehouse::Warehouse;

/// Table of the rows that could not be read.
const REJECTED: &str = "rejected_rows";

/// A project, its engine and its warehouse.
pub struct Workspace {
    pub(crate) project: Project,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) warehouse: Warehouse,
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.warehouse.remove_spill_dir();
    }
}

impl Workspace {
    /// Reads the project and its profile; touches no data.
    ///
    /// # Errors
    /// The first fault of the project; a target that runs no models.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let workspace = Self::open_for_publish(settings, clock)?;
        let target = &workspace.project.target;
        if target.adapter == Adapter::Postgres {
            return Err(PipelineError::Setting {
                message: format!(
                    "the target `{}` is of the type postgres, which takes published tables only",
                    target.name
                ),
                hint: Some(format!(
                    "build with another target, then `clicktrail publish --to {}`",
                    target.name
                )),
            });
        }
        Ok(workspace)
    }

    /// The same for a target that may take tables only, with [`Workspace::publish`].
    ///
    /// # Errors
    /// The first fault of the project.
    pub fn open_for_publish(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut settings = settings;
        // What a collector receives is part of the project before the first event: its models, and so what was built
        // of them, stay the same when events begin to come.
        settings.load.embedded_vars.insert(STREAM_VAR.into(), STREAM.1.into());
        let project = Project::load(&settings.load)?;
        let warehouse = Warehouse::of(&project);
        Ok(Self { project, settings, clock, warehouse })
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Folder of the warehouse's tables.
    pub fn warehouse_dir(&self) -> PathBuf {
        self.warehouse.dir().to_path_buf()
    }

    /// Runs the selected nodes; writes `target/run_results.json` and `target/manifest.json`.
    ///
    /// # Errors
    /// What stops the run as a whole; failures of nodes are in the summary.
    pub fn execute(&self, request: &RunRequest, reporter: &dyn Reporter) -> Result<RunSummary> {
        let selected = self.project.select(&request.select)?;
        self.run_selected(&selected, request, reporter)
    }

    pub(crate) fn run_selected(
        &self,
        selected: &BTreeSet<String>,
        request: &RunRequest,
        reporter: &dyn Reporter,
    ) -> Result<RunSummary> {
        #[cfg(feature = "bigquery")]
        if self.project.target.adapter == Adapter::Bigquery {
            return crate::remote::run(self, selected, request, reporter);
        }
        if request.dry_run || request.max_bytes.is_some() {
            return Err(PipelineError::Setting {
                message: format!(
                    "the target `{}` does not charge for bytes: there is nothing to estimate or limit",
                    self.project.target.name
                ),
                hint: Some(
                    "leave out `--dry-run` and `--max-bytes`, or choose a BigQuery target".into(),
                ),
            });
        }
        let _lock = self.warehouse.lock()?;
        crate::live::drain_log(self)?;
        self.run_locked(selected, request, reporter)
    }

    /// The same for who holds the warehouse's lock.
    pub(crate) fn run_locked(
        &self,
        selected: &BTreeSet<String>,
        request: &RunRequest,
        reporter: &dyn Reporter,
    ) -> Result<RunSummary> {
        let start = self.clock.seconds();
        let engine = self.engine()?;
        crate::live::stream_table::verify(&self.warehouse)?;
        let feeds = Feeds::open(&self.project)?;
        if feeds.passed_over > 0 {
            reporter.note(&format!(
                "{} intraday files match `ga4_export` and are left out; name them in the var `ga4_intraday` to use them",
                feeds.passed_over
            ));
        }
        let catalog = Catalog::new(&self.project, &self.warehouse, &feeds, request.full_refresh);
        reporter.planned(&self.run_plan(selected, request, engine.threads()));
        let run = Run {
            catalog: &catalog,
            engine: &engine,
            clock: self.clock.as_ref(),
            reporter,
            request,
            changes: Mutex::default(),
            results: Mutex::default(),
            schemas: Mutex::default(),
        };
        let outcome = run.execute(selected);
        crate::live::keep_restated(self, &run)?;
        let results = run.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome?;
        self.keep_rejects(&feeds, reporter)?;
        let summary = RunSummary {
            command: request.verb.as_str().to_owned(),
            results,
            seconds: self.clock.seconds() - start,
        };
        let id = &self.settings.load.invocation_id;
        artifacts::write_results(
            &self.project,
            artifacts::RUN_RESULTS,
            &summary,
            self.clock.now_micros(),
            id,
        )?;
        self.project.manifest.write(&artifacts::target_dir(&self.project).join("manifest.json"))?;
        Ok(summary)
    }

    pub(crate) fn run_plan(
        &self,
        selected: &BTreeSet<String>,
        request: &RunRequest,
        threads: usize,
    ) -> RunPlan {
        let manifest = &self.project.manifest;
        let count = |kind: ResourceType| {
            selected
                .iter()
                .filter(|id| manifest.nodes.get(*id).is_some_and(|node| node.resource_type == kind))
                .count()
        };
        let unit_tests = selected.iter().filter(|id| manifest.unit_tests.contains_key(*id)).count();
        let counts = match request.verb {
            Verb::Run => [count(ResourceType::Model), 0, 0, 0],
            Verb::Seed => [0, count(ResourceType::Seed), 0, 0],
            Verb::Test => [0, 0, count(ResourceType::Test), unit_tests],
            Verb::Build => [
                count(ResourceType::Model),
                count(ResourceType::Seed),
                count(ResourceType::Test),
                unit_tests,
            ],
        };
        RunPlan {
            command: request.verb.as_str().into(),
            target: self.project.target.name.clone(),
            counts,
            threads,
        }
    }

    /// Bad rows that the var `max_bad_rows` allowed are kept in the table `rejected_rows`; those of a file
    /// read again replace its earlier ones.
    fn keep_rejects(&self, feeds: &Feeds, reporter: &dyn Reporter) -> Result<()> {
        if feeds.rejects.is_empty() {
            return Ok(());
        }
        let table = self.warehouse.table(REJECTED);
        let before = table.snapshot()?;
        let batch = feeds.rejects.to_batch()?;
        let schema = stored_schema(&batch.schema())?;
        let mut writer = TableWriter::new(
            &table,
            before.as_ref(),
            Arc::clone(&schema),
            WriterSettings::default(),
            Arc::default(),
        )?;
        if let Some(before) = &before {
            let session = self.engine()?.session()?;
            session.add_table("before", before)?;
            session.add_batches("now", batch.schema(), vec![batch.clone()])?;
            let plan = session
                .plan("select before.* from before left anti join now on before.file = now.file")?;
            session.run(&plan, &mut |batch| writer.write(&batch))?;
        }
        writer.write(&batch)?;
        let commit = Commit {
            schema,
            partition_columns: Vec::new(),
            added: writer.finish()?,
            removed: Removal::Everything,
            note: serde_json::Value::Null,
            at_millis: self.clock.now_micros() / 1000,
        };
        table.commit(before.as_ref(), commit)?;
        reporter.note(&format!(
            "{} unreadable rows were left out and kept: clicktrail query \"select * from {REJECTED}\"",
            feeds.rejects.len()
        ));
        Ok(())
    }

    /// Repeats what failed or was skipped in the last run (`target/run_results.json`).
    ///
    /// # Errors
    /// As [`Workspace::execute`]; no earlier run.
    pub fn retry(&self, reporter: &dyn Reporter) -> Result<RunSummary> {
        let Some((command, results)) = artifacts::last_run(&self.project)? else {
            return Err(PipelineError::Setting {
                message: "there is no earlier run to retry".into(),
                hint: Some("run `clicktrail build` first".into()),
            });
        };
        let verb = match command.as_str() {
            "run" => Verb::Run,
            "test" => Verb::Test,
            "seed" => Verb::Seed,
            _ => Verb::Build,
        };
        let selected: BTreeSet<String> = results
            .into_iter()
            .filter(|(_, status)| matches!(status, Status::Error | Status::Fail | Status::Skipped))
            .map(|(id, _)| id)
            .collect();
        if selected.is_empty() {
            reporter.note("nothing failed in the last run");
        }
        let request = RunRequest::new(verb);
        self.run_selected(&selected, &request, reporter)
    }

    /// Deletes the project's clean targets; gives the folders deleted. The warehouse goes only when listed.
    ///
    /// # Errors
    /// A folder outside the project, or one that can't be deleted.
    pub fn clean(&self) -> Result<Vec<PathBuf>> {
        let mut deleted = Vec::new();
        for target in &self.project.clean_targets {
            let inside =
                target.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if !inside {
                return Err(PipelineError::Setting {
                    message: format!(
                        "clean target `{}` is not a folder inside the project",
                        target.display()
                    ),
                    hint: Some("list folders below the project in `clean-targets`".into()),
                });
            }
            let dir = self.project.dir.join(target);
            if dir.is_dir() {
                std::fs::remove_dir_all(&dir).map_err(PipelineError::io("delete", &dir))?;
                deleted.push(target.clone());
            }
        }
        Ok(deleted)
    }

    /// Project vars, `--vars` applied.
    pub fn vars(&self) -> BTreeMap<String, serde_json::Value> {
        self.project.vars.clone().into_iter().collect()
    }
}

//! Models that are computed as a whole: tables, incremental models, views.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::Session;
use clicktrail_engine::delta::{
    Commit, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};
use clicktrail_engine::{EngineError, delta};
use clicktrail_project::{
    IncrementalStrategy, Materialized, Node, OnSchemaChange, Relations, ResourceType,
};

use super::{Built, Change, Run};
use crate::catalog::quoted;
use crate::error::{PipelineError, Result};
use crate::fingerprint;
use crate::warehouse::BuildNote;

/// Up to this many rows, a rebuilt table is compared with its last version, so that what reads it
/// need not be rebuilt when nothing changed.
const COMPARED_ROWS: usize = 200_000;

pub(crate) fn build(run: &Run<'_>, node: &Node) -> Result<Built> {
    let catalog = run.catalog;
    let session = run.engine.session()?;
    let mut known = BTreeSet::new();
    catalog.register_parents(&session, &node.unique_id, &mut known)?;
    let incremental = catalog.is_incremental(node);
    let before = catalog.warehouse.snapshot(&node.alias)?;
    if let Some(before) =
        before.as_ref().filter(|_| node.config.materialized == Materialized::Incremental)
    {
        session.add_table(&node.alias, before)?;
    }
    hooks(run, node)?;
    let compiled = catalog.compile(node)?;
    match node.config.materialized {
        Materialized::View | Materialized::Ephemeral => {
            session.plan(&compiled.sql)?;
            Ok(Built::default())
        }
        Materialized::Incremental if incremental => match before {
            Some(before) => add(run, node, &session, &compiled.sql, before),
            None => replace(run, node, &session, &compiled.sql, None),
        },
        _ => replace(run, node, &session, &compiled.sql, before),
    }
}

/// Hooks change data or settings of an engine; the embedded one has neither.
fn hooks(run: &Run<'_>, node: &Node) -> Result<()> {
    let _ = run;
    if node.config.pre_hook.is_empty() && node.config.post_hook.is_empty() {
        return Ok(());
    }
    Err(PipelineError::Setting {
        message: format!("`{}` has a hook, which the embedded engine can't run", node.name),
        hint: Some(
            "guard it with `{% if target.type != 'clicktrail' %}`, or put its work into a model"
                .into(),
        ),
    })
}

/// Makes the result the whole table.
fn replace(
    run: &Run<'_>,
    node: &Node,
    session: &Session,
    sql: &str,
    before: Option<Snapshot>,
) -> Result<Built> {
    let plan = session.plan(sql)?;
    let schema = stored_schema(&plan.schema())?;
    let mut output = Output::new(run, node, before.as_ref(), Arc::clone(&schema))?;
    let mut kept: Option<Vec<RecordBatch>> = Some(Vec::new());
    let mut rows = 0usize;
    session.run(&plan, &mut |batch| {
        let batch = delta::conform(&batch, &schema)?;
        rows += batch.num_rows();
        if rows > COMPARED_ROWS {
            kept = None;
        }
        if let Some(kept) = &mut kept {
            kept.push(batch.clone());
        }
        output.writer.write(&batch)
    })?;
    let content = kept.map(|batches| fingerprint::rows(&batches)).unwrap_or_default();
    let mut note = note(run, node)?;
    if let Some(before) = &before {
        let old = BuildNote::of(before);
        if !content.is_empty() && old.content == content && before.schema == schema {
            return Ok(Built { rows: Some(before.rows()), message: "unchanged".into() });
        }
    }
    note.content = content;
    output.commit(run, node, before, Removal::Everything, note, String::new())
}

/// Adds the result to the table by the model's strategy.
fn add(
    run: &Run<'_>,
    node: &Node,
    session: &Session,
    sql: &str,
    before: Snapshot,
) -> Result<Built> {
    let strategy =
        node.config.incremental_strategy.unwrap_or(if node.config.unique_key.is_empty() {
            IncrementalStrategy::Append
        } else {
            IncrementalStrategy::Merge
        });
    let (found, batches) = session.query(sql)?;
    let found = stored_schema(&found)?;
    let schema = merged_schema(node, &before.schema, &found)?;
    let batches =
        batches.iter().map(|batch| align(batch, &found, &schema)).collect::<Result<Vec<_>>>()?;
    let added: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut output = Output::new(run, node, Some(&before), Arc::clone(&schema))?;
    for batch in &batches {
        output.writer.write(batch)?;
    }
    let removed = match strategy {
        IncrementalStrategy::Append => Removal::Nothing,
        IncrementalStrategy::InsertOverwrite => {
            let values: BTreeSet<_> =
                output.finish()?.iter().map(|file| file.partition.clone()).collect();
            if before.partition_columns.is_empty() {
                return Err(PipelineError::Setting {
                    message: format!(
                        "`{}` uses insert_overwrite without `partition_by`",
                        node.name
                    ),
                    hint: Some(
                        "add `partition_by`, or use delete+insert with a `unique_key`".into(),
                    ),
                });
            }
            let gone = before.files.iter().filter(|file| values.contains(&file.partition));
            Removal::Files(gone.map(|file| file.path.clone()).collect())
        }
        IncrementalStrategy::Merge | IncrementalStrategy::DeleteInsert => {
            let merge = strategy == IncrementalStrategy::Merge;
            keep_others(node, session, &before, &schema, batches, merge, &mut output)?;
            Removal::Everything
        }
    };
    let note = note(run, node)?;
    output.commit(run, node, Some(before), removed, note, format!("{added} rows added"))
}

/// Writes the rows of the version before whose unique key is not among the new rows.
fn keep_others(
    node: &Node,
    session: &Session,
    before: &Snapshot,
    schema: &SchemaRef,
    added: Vec<RecordBatch>,
    merge: bool,
    output: &mut Output,
) -> Result<()> {
    let keys = &node.config.unique_key;
    if keys.is_empty() {
        return Err(PipelineError::Setting {
            message: format!("`{}` is merged without `unique_key`", node.name),
            hint: Some(
                "add `unique_key` to its config, or use `incremental_strategy='append'`".into(),
            ),
        });
    }
    session.add_batches("__added", Arc::clone(schema), added)?;
    session.add_table("__before", before)?;
    let columns: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
    if merge {
        let list = columns.join(", ");
        let sql = format!(
            "select {list}, count(*) as copies from __added group by {list} having count(*) > 1 limit 1"
        );
        let (_, repeated) = session.query(&sql)?;
        if repeated.iter().any(|batch| batch.num_rows() > 0) {
            return Err(PipelineError::Setting {
                message: format!("`{}`: new rows repeat the unique key ({})", node.name, keys.join(", ")),
                hint: Some("make the key unique in the model, or use `incremental_strategy='delete+insert'`".into()),
            });
        }
    }
    let on: Vec<String> =
        columns.iter().map(|key| format!("__before.{key} = __added.{key}")).collect();
    let sql =
        format!("select __before.* from __before left anti join __added on {}", on.join(" and "));
    let plan = session.plan(&sql)?;
    session.run(&plan, &mut |batch| {
        let batch = align(&batch, &before.schema, schema)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        output.writer.write(&batch)
    })?;
    Ok(())
}

/// Columns of the table after an incremental run.
fn merged_schema(node: &Node, before: &SchemaRef, found: &SchemaRef) -> Result<SchemaRef> {
    let same = before.fields() == found.fields();
    if same {
        return Ok(Arc::clone(before));
    }
    match node.config.on_schema_change {
        OnSchemaChange::Ignore => Ok(Arc::clone(before)),
        OnSchemaChange::SyncAllColumns => Ok(Arc::clone(found)),
        OnSchemaChange::AppendNewColumns => {
            let mut fields: Vec<_> = before.fields().iter().cloned().collect();
            fields.extend(
                found
                    .fields()
                    .iter()
                    .filter(|field| before.column_with_name(field.name()).is_none())
                    .cloned(),
            );
            Ok(Arc::new(arrow::datatypes::Schema::new(fields)))
        }
        OnSchemaChange::Fail => Err(PipelineError::Setting {
            message: format!("the columns of `{}` changed", node.name),
            hint: Some(
                "run it with `--full-refresh`, or set `on_schema_change: append_new_columns`"
                    .into(),
            ),
        }),
    }
}

/// A batch with the columns of `to`: matched by name, missing ones null.
fn align(batch: &RecordBatch, from: &SchemaRef, to: &SchemaRef) -> Result<RecordBatch> {
    let batch = delta::conform(batch, from)?;
    let columns = to
        .fields()
        .iter()
        .map(|field| match from.index_of(field.name()) {
            Ok(index) => arrow::compute::cast(batch.column(index), field.data_type()),
            Err(_) => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| EngineError::Internal(error.to_string()))?;
    RecordBatch::try_new(Arc::clone(to), columns)
        .map_err(|error| EngineError::Internal(error.to_string()).into())
}

fn note(run: &Run<'_>, node: &Node) -> Result<BuildNote> {
    let mut note =
        BuildNote { fingerprint: run.catalog.fingerprint(node)?, ..BuildNote::default() };
    for name in run.catalog.stored_inputs(&node.unique_id).into_keys() {
        if let Some(snapshot) = run.catalog.warehouse.snapshot(&name)? {
            note.inputs.insert(name, snapshot.version);
        }
    }
    Ok(note)
}

/// The next version of a table, being written.
pub(crate) struct Output {
    writer: TableWriter,
    done: Vec<delta::DataFile>,
    schema: SchemaRef,
    partition_columns: Vec<String>,
}

impl Output {
    pub(crate) fn new(
        run: &Run<'_>,
        node: &Node,
        base: Option<&Snapshot>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let partition_columns: Vec<String> =
            node.config.partition_by.iter().map(|partition| partition.field.clone()).collect();
        let settings = WriterSettings {
            partition_columns: partition_columns.clone(),
            unique_columns: unique_columns(run, node),
        };
        let table = run.catalog.warehouse.table(&node.alias);
        let writer = TableWriter::new(
            &table,
            base,
            Arc::clone(&schema),
            settings,
            Arc::new(AtomicU64::new(0)),
        )?;
        Ok(Self { writer, done: Vec::new(), schema, partition_columns })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(batch)?)
    }

    /// Files so far.
    fn finish(&mut self) -> Result<&[delta::DataFile]> {
        self.done.extend(self.writer.flush()?);
        Ok(&self.done)
    }

    pub(crate) fn commit(
        mut self,
        run: &Run<'_>,
        node: &Node,
        base: Option<Snapshot>,
        removed: Removal,
        note: BuildNote,
        message: String,
    ) -> Result<Built> {
        self.finish()?;
        let table = run.catalog.warehouse.table(&node.alias);
        let after = table.commit(
            base.as_ref(),
            Commit {
                schema: self.schema,
                partition_columns: self.partition_columns,
                added: self.done,
                removed,
                note: serde_json::to_value(&note).unwrap_or_default(),
                at_millis: run.clock.now_micros() / 1000,
            },
        )?;
        let rows = after.rows();
        run.changed(&node.alias, Change { before: base, after, keys: None });
        Ok(Built { rows: Some(rows), message })
    }
}

/// Columns that a `unique` data test says are unique: not worth a dictionary on disk.
pub(crate) fn unique_columns(run: &Run<'_>, node: &Node) -> Vec<String> {
    let manifest = &run.catalog.project.manifest;
    let children = manifest.child_map.get(&node.unique_id);
    children
        .into_iter()
        .flatten()
        .filter_map(|id| run.catalog.node(id))
        .filter(|test| {
            test.resource_type == ResourceType::Test
                && test.attached_node.as_deref() == Some(&node.unique_id)
                && test.test_metadata.as_ref().is_some_and(|made_of| made_of.name == "unique")
        })
        .filter_map(|test| test.column_name.clone())
        .collect()
}

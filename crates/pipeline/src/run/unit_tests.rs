//! YAML unit tests: given rows in, expected rows out, no data read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clicktrail_engine::datafusion::Session;
use clicktrail_project::{InputName, Node, ResourceType, Rows, UnitTest};
use serde_json::{Map, Value};

use super::{Run, blank, seeds};
use crate::error::{PipelineError, Result};
use crate::feeds::Feeds;
use crate::report::{NodeResult, Problem, Status};

/// At most so many differing rows are told.
const SHOWN_ROWS: usize = 5;

pub(crate) fn run(run: &Run<'_>, test: &UnitTest) -> NodeResult {
    let mut result = blank(&test.unique_id, "");
    result.name.clone_from(&test.name);
    result.resource_type = "unit_test".into();
    settle(&mut result, test, evaluate(run, test));
    result
}

/// Writes what came out into the result.
pub(crate) fn settle(result: &mut NodeResult, test: &UnitTest, outcome: Result<Vec<String>>) {
    match outcome {
        Ok(differences) if differences.is_empty() => {
            result.failures = Some(0);
            result.status = Status::Pass;
        }
        Ok(differences) => {
            result.failures = Some(differences.len() as u64);
            result.status = Status::Fail;
            result.problem = Some(told(test, &differences));
        }
        Err(error) => {
            let mut problem = error.problem();
            if problem.file.is_none() {
                problem.file = Some(test.original_file_path.clone());
                problem.line = Some(test.line).filter(|line| *line > 0);
            }
            result.status = Status::Error;
            result.problem = Some(problem);
        }
    }
}

fn told(test: &UnitTest, differences: &[String]) -> Problem {
    let mut message = format!("unit test `{}` of `{}` gave other rows", test.name, test.model);
    for difference in differences.iter().take(SHOWN_ROWS) {
        message.push_str("\n  ");
        message.push_str(difference);
    }
    if differences.len() > SHOWN_ROWS {
        message.push_str(&format!("\n  … and {} more", differences.len() - SHOWN_ROWS));
    }
    let hint = "`-` is expected and missing, `+` is there and not expected";
    Problem {
        file: Some(test.original_file_path.clone()),
        line: Some(test.line).filter(|line| *line > 0),
        ..Problem::new("E4006", message, Some(hint.into()))
    }
}

fn evaluate(run: &Run<'_>, test: &UnitTest) -> Result<Vec<String>> {
    let Some(node) = run.catalog.node(&test.model_id) else { return Ok(Vec::new()) };
    let session = run.engine.single_threaded_session()?;
    let schemas = schemas(run, node)?;
    let mut given: BTreeMap<&str, &Rows> = BTreeMap::new();
    for input in &test.given {
        match &input.input {
            InputName::Ref(id) | InputName::Source(id) => given.insert(id, &input.rows),
            InputName::This => given.insert(&node.unique_id, &input.rows),
        };
    }
    for (id, (name, schema)) in &schemas {
        if let Some(rows) = given.get(id.as_str()) {
            let batch = rows_as(&session, rows, schema)?;
            session.add_batches(name, batch.schema(), vec![batch])?;
        } else {
            session.add_slot(name, Arc::clone(schema))?;
        }
    }
    let compiled = run.catalog.compile_with(node, &BTreeMap::new(), &test.overrides)?;
    let (schema, batches) = session.query(&compiled.sql)?;
    let of_sql = |rows: &Rows| rows_as(&session, rows, &schema);
    compare(&of_sql, test, &schema, &batches)
}

/// Name and columns of models, seeds and sources, found by planning what is above them; each once in a run.
pub(crate) struct Schemas {
    session: Session,
    found: BTreeMap<String, (String, SchemaRef)>,
}

/// Those of everything a model reads.
fn schemas(run: &Run<'_>, node: &Node) -> Result<BTreeMap<String, (String, SchemaRef)>> {
    let mut known = run.schemas.lock().unwrap_or_else(PoisonError::into_inner);
    let known = match &mut *known {
        Some(known) => known,
        none => none.insert(Schemas {
            session: run.engine.single_threaded_session()?,
            found: BTreeMap::new(),
        }),
    };
    known.above(run, &node.unique_id)?;
    // Not the model's own: another test of the run may have planned it, and no test's answer depends on others.
    let of = |id: &String| Some((id.clone(), known.found.get(id)?.clone()));
    Ok(run.catalog.parents(&node.unique_id).iter().filter_map(of).collect())
}

impl Schemas {
    fn above(&mut self, run: &Run<'_>, id: &str) -> Result<()> {
        for parent in run.catalog.parents(id) {
            if self.found.contains_key(parent) {
                continue;
            }
            if let Some(source) = run.catalog.project.manifest.sources.get(parent) {
                if let Some(name) = Feeds::name_of(source) {
                    self.add(parent, name, clicktrail_ingest::schema::events())?;
                }
                continue;
            }
            let Some(node) = run.catalog.node(parent) else { continue };
            let schema = if node.resource_type == ResourceType::Seed {
                seeds::read(run.catalog.project, node)?.0
            } else {
                self.above(run, parent)?;
                self.session.plan(&run.catalog.compile(node)?.sql)?.schema()
            };
            self.add(parent, node.alias.clone(), schema)?;
        }
        Ok(())
    }

    fn add(&mut self, id: &str, name: String, schema: SchemaRef) -> Result<()> {
        self.session.add_slot(&name, Arc::clone(&schema))?;
        self.found.insert(id.to_owned(), (name, schema));
        Ok(())
    }
}

/// Given rows as a batch: columns that are not given are null.
fn rows_as(session: &Session, rows: &Rows, schema: &SchemaRef) -> Result<RecordBatch> {
    if let Rows::Sql(sql) = rows {
        let (_, batches) = session.query(sql)?;
        let found = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        let batch = arrow::compute::concat_batches(&found, &batches).map_err(internal)?;
        let columns = schema
            .fields()
            .iter()
            .map(|field| match batch.column_by_name(field.name()) {
                Some(column) => arrow::compute::cast(column, field.data_type()).map_err(internal),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            })
            .collect::<Result<Vec<_>>>()?;
        return RecordBatch::try_new(nullable(schema), columns).map_err(internal);
    }
    records_as(&records(rows)?, schema)
}

pub(crate) fn records(rows: &Rows) -> Result<Vec<Map<String, Value>>> {
    match rows.records()? {
        Some(records) => Ok(records),
        None => Err(PipelineError::Setting {
            message: "the rows of a unit test can't be read".into(),
            hint: Some("give them as a list of mappings, or as CSV with a header".into()),
        }),
    }
}

fn records_as(records: &[Map<String, Value>], schema: &SchemaRef) -> Result<RecordBatch> {
    for name in records.iter().flat_map(Map::keys) {
        if schema.column_with_name(name).is_none() {
            let known: Vec<String> =
                schema.fields().iter().map(|field| field.name().clone()).collect();
            return Err(PipelineError::Setting {
                message: format!("a row has the column `{name}`, which the relation does not"),
                hint: crate::problem::nearest(name, &known)
                    .map(|name| format!("did you mean `{name}`?")),
            });
        }
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let values: Vec<&Value> = records
                .iter()
                .map(|record| record.get(field.name()).unwrap_or(&Value::Null))
                .collect();
            column(field.name(), &values, field.data_type())
        })
        .collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(records.len()));
    RecordBatch::try_new_with_options(nullable(schema), columns, &options).map_err(internal)
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(
        schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect::<Vec<_>>(),
    ))
}

fn column(name: &str, values: &[&Value], data_type: &DataType) -> Result<ArrayRef> {
    if values.iter().all(|value| value.is_null()) {
        return Ok(new_null_array(data_type, values.len()));
    }
    if data_type.is_nested() {
        return nested(name, values, data_type);
    }
    let texts: StringArray = values
        .iter()
        .map(|value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
        .collect();
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&texts, data_type, &strict).map_err(|error| PipelineError::Setting {
        message: format!("column `{name}`: {error}"),
        hint: Some(format!("its type is {data_type}")),
    })
}

fn nested(name: &str, values: &[&Value], data_type: &DataType) -> Result<ArrayRef> {
    let schema =
        Arc::new(Schema::new(vec![arrow::datatypes::Field::new(name, data_type.clone(), true)]));
    let mut decoder = arrow::json::ReaderBuilder::new(schema).build_decoder().map_err(internal)?;
    let rows: Vec<Value> = values
        .iter()
        .map(|value| Value::Object(Map::from_iter([(name.to_owned(), (*value).clone())])))
        .collect();
    decoder.serialize(&rows).map_err(internal)?;
    let batch = decoder.flush().map_err(internal)?;
    Ok(batch.map_or_else(
        || new_null_array(data_type, values.len()),
        |batch| Arc::clone(batch.column(0)),
    ))
}

/// Rows that are expected and missing (`-`) or there and not expected (`+`), in any order.
pub(crate) fn compare(
    of_sql: &dyn Fn(&Rows) -> Result<RecordBatch>,
    test: &UnitTest,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Vec<String>> {
    let expected = match &test.expect {
        rows @ Rows::Sql(_) => of_sql(rows)?,
        rows => {
            let records = records(rows)?;
            let names: BTreeSet<&String> = records.iter().flat_map(Map::keys).collect();
            let some = schema
                .fields()
                .iter()
                .filter(|field| names.contains(field.name()) || names.is_empty());
            let known: BTreeSet<&String> =
                schema.fields().iter().map(|field| field.name()).collect();
            let expected = Arc::new(Schema::new(some.cloned().collect::<Vec<_>>()));
            if names.iter().all(|name| known.contains(*name)) {
                records_as(&records, &expected)?
            } else {
                records_as(&records, schema)?
            }
        }
    };
    let columns: Vec<String> =
        expected.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for row in texts(&expected, &columns)? {
        *counts.entry(row).or_default() -= 1;
    }
    for batch in batches {
        for row in texts(batch, &columns)? {
            *counts.entry(row).or_default() += 1;
        }
    }
    Ok(counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .flat_map(|(row, count)| {
            let sign = if count < 0 { '-' } else { '+' };
            std::iter::repeat_n(format!("{sign} {row}"), count.unsigned_abs() as usize)
        })
        .collect())
}

fn texts(batch: &RecordBatch, columns: &[String]) -> Result<Vec<String>> {
    let options = FormatOptions::default();
    let arrays: Vec<&ArrayRef> =
        columns.iter().filter_map(|name| batch.column_by_name(name)).collect();
    let formatters = arrays
        .iter()
        .map(|array| ArrayFormatter::try_new(array.as_ref(), &options).map_err(internal))
        .collect::<Result<Vec<_>>>()?;
    Ok((0..batch.num_rows())
        .map(|row| {
            let cells: Vec<String> = columns
                .iter()
                .zip(arrays.iter().zip(&formatters))
                .map(|(name, (array, formatter))| match array.is_null(row) {
                    true => format!("{name}: null"),
                    false => format!("{name}: {}", formatter.value(row)),
                })
                .collect();
            cells.join(", ")
        })
        .collect())
}

fn internal(error: impl std::fmt::Display) -> PipelineError {
    clicktrail_engine::EngineError::Internal(error.to_string()).into()
}

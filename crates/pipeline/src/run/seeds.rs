//! Seeds: CSV files as tables.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use clicktrail_engine::delta::{Removal, conform, stored_schema};
use clicktrail_project::{Node, Project};

use super::single::Output;
use super::{Built, Run};
use crate::error::{PipelineError, Result};
use crate::fingerprint;
use crate::report::Problem;
use crate::warehouse::BuildNote;

/// Rows looked at to tell the types of columns without a declared one.
const INFERRED_ROWS: usize = 10_000;

pub(crate) fn load(run: &Run<'_>, node: &Node) -> Result<Built> {
    let (schema, batches) = read(run.catalog.project, node)?;
    let before = run.catalog.warehouse.snapshot(&node.alias)?;
    let content = fingerprint::rows(&batches);
    if let Some(before) = &before
        && !run.request.full_refresh
        && BuildNote::of(before).content == content
        && before.schema == schema
    {
        return Ok(Built { rows: Some(before.rows()), message: "unchanged".into() });
    }
    let mut output = Output::new(run, node, before.as_ref(), schema)?;
    for batch in &batches {
        output.write(batch)?;
    }
    let note =
        BuildNote { fingerprint: node.checksum.checksum.clone(), content, ..BuildNote::default() };
    output.commit(run, node, before, Removal::Everything, note, String::new())
}

/// The rows of a seed, in the types it is stored in.
pub(crate) fn read(project: &Project, node: &Node) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let path = project.dir.join(&node.original_file_path);
    let mut file = File::open(&path).map_err(PipelineError::io("read", &path))?;
    let delimiter = node.config.delimiter.bytes().next().unwrap_or(b',');
    let bad = |error: arrow::error::ArrowError| {
        let (message, line) = explain(&error.to_string());
        PipelineError::Located(Box::new(Problem {
            file: Some(node.original_file_path.clone()),
            line,
            ..Problem::new(
                "E4005",
                format!("seed `{}`: {message}", node.name),
                Some("correct the line, or declare the column's type under `column_types`".into()),
            )
        }))
    };
    let format = Format::default().with_header(true).with_delimiter(delimiter);
    let (inferred, _) = format.infer_schema(&mut file, Some(INFERRED_ROWS)).map_err(bad)?;
    file.rewind().map_err(PipelineError::io("read", &path))?;
    let schema = Arc::new(declared(node, &inferred)?);
    let reader = ReaderBuilder::new(Arc::clone(&schema))
        .with_format(format)
        .build(BufReader::new(file))
        .map_err(bad)?;
    let stored = stored_schema(&schema)?;
    let batches = reader
        .map(|batch| Ok(conform(&batch.map_err(bad)?, &stored)?))
        .collect::<Result<Vec<_>>>()?;
    Ok((stored, batches))
}

/// Arrow's words without its wrapper, and the line they name.
fn explain(text: &str) -> (String, Option<usize>) {
    let text = text.lines().next().unwrap_or_default();
    let message = text
        .trim_start_matches("Parser error: ")
        .trim_start_matches("Csv error: ")
        .trim_start_matches("Compute error: ")
        .to_owned();
    let line = message
        .split_once("line ")
        .and_then(|(_, rest)| rest.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok());
    (message, line)
}

fn declared(node: &Node, inferred: &Schema) -> Result<Schema> {
    let types: BTreeMap<&str, &str> = node
        .config
        .column_types
        .iter()
        .filter_map(|(column, data_type)| Some((column.as_str(), data_type.as_str()?)))
        .collect();
    let fields = inferred
        .fields()
        .iter()
        .map(|field| {
            let data_type = match types.get(field.name().as_str()) {
                Some(name) => parse_type(name).ok_or_else(|| PipelineError::Setting {
                    message: format!(
                        "seed `{}`: unknown type `{name}` for `{}`",
                        node.name,
                        field.name()
                    ),
                    hint: Some(
                        "use varchar, bigint, double, boolean, date, timestamp or decimal(p, s)"
                            .into(),
                    ),
                })?,
                None if field.data_type() == &DataType::Null => DataType::Utf8,
                None => field.data_type().clone(),
            };
            Ok(Field::new(field.name(), data_type, true))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Schema::new(fields))
}

/// A SQL type by any of its usual names.
pub(crate) fn parse_type(name: &str) -> Option<DataType> {
    let name = name.trim().to_ascii_lowercase();
    if let Some(arguments) = name
        .strip_prefix("decimal")
        .or_else(|| name.strip_prefix("numeric"))
        .and_then(|rest| rest.trim().strip_prefix('('))
    {
        let (precision, scale) = arguments.trim_end_matches(')').split_once(',')?;
        return Some(DataType::Decimal128(
            precision.trim().parse().ok()?,
            scale.trim().parse().ok()?,
        ));
    }
    Some(match name.split('(').next().unwrap_or_default().trim() {
        "varchar" | "string" | "text" | "char" => DataType::Utf8,
        "int" | "integer" | "bigint" | "int64" | "int8" | "smallint" => DataType::Int64,
        "float" | "double" | "float64" | "real" | "float8" | "double precision" => {
            DataType::Float64
        }
        "boolean" | "bool" => DataType::Boolean,
        "date" => DataType::Date32,
        "timestamp" | "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "decimal" | "numeric" => DataType::Decimal128(38, 9),
        _ => return None,
    })
}

//! Rows for people and programs: table, CSV, JSON, NDJSON, Parquet, Markdown.
//!
//! Numbers are exact in every format: JSON carries 64-bit integers and decimals with all their
//! digits, as JSON numbers; read them with a parser that keeps them. NaN and infinity become null.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::ValueEnum;
use clicktrail_pipeline::QueryResult;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::table::Table;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// Aligned columns
    #[value(alias = "text")]
    Table,
    /// Comma-separated, with a header; null is empty
    Csv,
    /// One array of objects
    Json,
    /// One object per line
    #[value(alias = "jsonl")]
    Ndjson,
    /// A Parquet file
    Parquet,
    /// A Markdown table
    #[value(alias = "markdown")]
    Md,
}

impl RowFormat {
    /// The ending of a file's name.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Table => "txt",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Md => "md",
        }
    }

    /// The format a file name's ending stands for.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "parquet" => Some(Self::Parquet),
            "md" => Some(Self::Md),
            _ => None,
        }
    }
}

/// Writes rows; with a width, cells of a table are cut to fit into it.
///
/// # Errors
/// Those of `out`, and types that the format can't hold.
pub(crate) fn write_rows(
    result: &QueryResult,
    format: RowFormat,
    width: Option<usize>,
    mut out: impl Write + Send,
) -> Result<()> {
    match format {
        RowFormat::Table => table(result)?.write(&mut out, width)?,
        RowFormat::Md => write_markdown(result, &mut out)?,
        RowFormat::Csv => write_csv(result, &mut out)?,
        RowFormat::Json => write_json::<JsonArray>(result, &mut out)?,
        RowFormat::Ndjson => write_json::<LineDelimited>(result, &mut out)?,
        RowFormat::Parquet => write_parquet(result, &mut out)?,
    }
    out.flush().context("cannot write the rows")
}

/// Cells as text. Control characters are escaped: data must not steer the terminal.
fn table(result: &QueryResult) -> Result<Table> {
    let fields = result.schema.fields();
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &result.batches {
        let columns = formatters(batch, &options)?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|cells| escaped(&cells.value(row).to_string())).collect());
        }
    }
    Ok(Table {
        header: fields.iter().map(|field| escaped(field.name())).collect(),
        right: fields.iter().map(|field| field.data_type().is_numeric()).collect(),
        rows,
    })
}

fn formatters<'a>(
    batch: &'a RecordBatch,
    options: &'a FormatOptions<'a>,
) -> Result<Vec<ArrayFormatter<'a>>> {
    let columns = batch.columns().iter();
    columns.map(|column| Ok(ArrayFormatter::try_new(column.as_ref(), options)?)).collect()
}

/// The text without control characters, which a terminal would obey: they are shown as Rust writes them.
pub(crate) fn escaped(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut clean, c| {
        if c.is_control() {
            clean.extend(c.escape_default())
        } else {
            clean.push(c)
        }
        clean
    })
}

fn write_markdown(result: &QueryResult, out: &mut dyn Write) -> Result<()> {
    let table = table(result)?;
    let mut line = |cells: &[String]| -> std::io::Result<()> {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        writeln!(out, "| {} |", cells.join(" | "))
    };
    line(&table.header)?;
    let rule = |right: &bool| if *right { "---:" } else { "---" }.to_owned();
    line(&table.right.iter().map(rule).collect::<Vec<_>>())?;
    table.rows.iter().try_for_each(|row| line(row))?;
    Ok(())
}

fn write_csv(result: &QueryResult, out: &mut (impl Write + Send)) -> Result<()> {
    let flat = Arc::new(Schema::new(
        result
            .schema
            .fields()
            .iter()
            .map(|field| match field.data_type().is_nested() {
                true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
                false => Arc::clone(field),
            })
            .collect::<Vec<_>>(),
    ));
    let mut writer = csv::WriterBuilder::new().with_header(true).build(out);
    // Without rows, the header still tells the columns.
    writer.write(&RecordBatch::new_empty(Arc::clone(&flat)))?;
    for batch in &result.batches {
        let columns = batch.columns().iter().map(unnested).collect::<Result<Vec<_>>>()?;
        writer.write(&RecordBatch::try_new(Arc::clone(&flat), columns)?)?;
    }
    Ok(())
}

/// CSV has no lists and structs: such a column becomes text.
fn unnested(column: &ArrayRef) -> Result<ArrayRef> {
    if !column.data_type().is_nested() {
        return Ok(Arc::clone(column));
    }
    let options = FormatOptions::new().with_null("null");
    let cells = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let text = |row| (!column.is_null(row)).then(|| cells.value(row).to_string());
    Ok(Arc::new((0..column.len()).map(text).collect::<StringArray>()))
}

fn write_json<F: JsonFormat>(result: &QueryResult, out: &mut (impl Write + Send)) -> Result<()> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, F>(&mut *out);
    for batch in &result.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    drop(writer);
    // `finish` ends lines of NDJSON, but not the array.
    if std::any::type_name::<F>() == std::any::type_name::<JsonArray>() {
        writeln!(out)?;
    }
    Ok(())
}

fn write_parquet(result: &QueryResult, out: &mut (impl Write + Send)) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer = ArrowWriter::try_new(out, Arc::clone(&result.schema), Some(properties))?;
    for batch in &result.batches {
        writer.write(batch)?;
    }
    writer.close()?;
    Ok(())
}

#[cfg(test)]
#[path = "rows/tests.rs"]
mod tests;

//! Paths of a file: CSV or Parquet, one row a journey or one row a path with its counts.
//!
//! Rows are taken batch by batch and only counts of distinct paths are kept, so that memory does not
//! grow with the number of journeys. Row groups of a Parquet file are read by several threads.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use arrow::error::ArrowError;
use clicktrail_attribution::fit::heuristics::{Heuristic, credits};
use clicktrail_attribution::fit::{
    FitSettings, FittedModel, PathCounts, PathCountsBuilder, Portion, fit,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};

use super::{refused, rows, unfit};
use crate::error::{PipelineError, Result};
use crate::workspace::QueryResult;

/// Names of the columns, ours first and then those of the R and Python package ChannelAttribution.
const COLUMNS: [&[&str]; 4] = [
    &["path"],
    &["converted", "conversions", "total_conversions"],
    &["lost", "total_null"],
    &["value", "revenue", "total_conversion_value"],
];

/// Rows of a batch.
const BATCH_ROWS: usize = 16_384;

/// What to read, and what to compute of it.
#[derive(Debug, Clone)]
pub struct PathsFile {
    /// The file; its ending says the format.
    pub path: PathBuf,
    /// What parts the channels of a path text; spaces around names are cut.
    pub separator: char,
    /// Heuristic attribution models.
    pub heuristics: Vec<Heuristic>,
    /// Fitted attribution models.
    pub fitted: Vec<FittedModel>,
    /// How they are fitted.
    pub settings: FitSettings,
    /// Take repeats of a channel that follow each other as one touch.
    pub compact: bool,
    /// Threads that read.
    pub threads: usize,
}

/// Reads the file and computes what channels get; the second value tells what was read.
///
/// # Errors
/// A file that can't be read; columns that are not there; nothing that can be fitted.
pub fn fit_file(request: &PathsFile) -> Result<(QueryResult, String)> {
    let mut paths = read(request)?;
    let told = format!(
        "{} journeys, {} converted, {} distinct paths of {} channels",
        paths.journeys(),
        paths.conversions(),
        paths.len(),
        paths.channels().len()
    );
    if request.compact {
        paths = paths.compacted().map_err(unfit)?;
    }
    let mut rows = rows::Credited::default();
    for heuristic in &request.heuristics {
        let credits = credits(&paths, *heuristic).map_err(unfit)?;
        rows.heuristic(heuristic.name(), paths.channels(), &credits);
    }
    for model in &request.fitted {
        rows.fit(&fit(&paths, *model, &request.settings).map_err(unfit)?);
    }
    let rows = rows.finish()?;
    Ok((QueryResult { schema: rows.schema(), batches: vec![rows] }, told))
}

fn read(request: &PathsFile) -> Result<PathCounts> {
    let ending = request.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let builder = match ending.to_ascii_lowercase().as_str() {
        "parquet" => read_parquet(request)?,
        "csv" => read_csv(request)?,
        other => {
            return Err(refused(
                format!("`{}` is no CSV or Parquet file: `.{other}`", request.path.display()),
                "name it .csv or .parquet",
            ));
        }
    };
    Ok(builder.finish())
}

/// Which column is which.
struct Columns {
    path: usize,
    converted: usize,
    lost: Option<usize>,
    value: Option<usize>,
}

impl Columns {
    fn of(file: &Path, schema: &Schema) -> Result<Self> {
        let find = |names: &[&str]| names.iter().find_map(|name| schema.index_of(name).ok());
        let [path, converted, lost, value] = COLUMNS.map(find);
        let needed = |found: Option<usize>, names: &[&str]| {
            found.ok_or_else(|| {
                let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                refused(
                    format!("`{}` has no column `{}`", file.display(), names.join("` or `")),
                    format!("its columns are {}", known.join(", ")),
                )
            })
        };
        Ok(Self {
            path: needed(path, COLUMNS[0])?,
            converted: needed(converted, COLUMNS[1])?,
            lost,
            value,
        })
    }

    fn list(&self) -> Vec<usize> {
        [Some(self.path), Some(self.converted), self.lost, self.value]
            .into_iter()
            .flatten()
            .collect()
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(PipelineError::io("read", path))
}

fn unreadable(path: &Path, error: impl std::fmt::Display) -> PipelineError {
    refused(format!("`{}` can't be read: {error}", path.display()), "look at the file")
}

fn read_csv(request: &PathsFile) -> Result<PathCountsBuilder> {
    let bad = |error: ArrowError| unreadable(&request.path, error);
    let format = Format::default().with_header(true);
    let (inferred, _) = format.infer_schema(open(&request.path)?, Some(1)).map_err(bad)?;
    let columns = Columns::of(&request.path, &inferred)?;
    let data_type = |at: usize| match at {
        at if at == columns.path => DataType::Utf8,
        at if Some(at) == columns.value => DataType::Float64,
        at if at == columns.converted || Some(at) == columns.lost => DataType::Int64,
        _ => DataType::Utf8,
    };
    let fields = inferred.fields().iter().enumerate();
    let fields: Vec<Field> =
        fields.map(|(at, field)| Field::new(field.name(), data_type(at), true)).collect();
    let reader = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_format(format)
        .with_batch_size(BATCH_ROWS)
        .build(BufReader::with_capacity(1 << 20, open(&request.path)?))
        .map_err(bad)?;
    let mut taker = Taker::new(request);
    for batch in reader {
        taker.take(&batch.map_err(bad)?, &columns)?;
    }
    Ok(taker.builder)
}

fn read_parquet(request: &PathsFile) -> Result<PathCountsBuilder> {
    let path = &request.path;
    let file = open(path)?;
    let metadata = ArrowReaderMetadata::load(&file, Default::default())
        .map_err(|error| unreadable(path, error))?;
    let all = Columns::of(path, metadata.schema())?;
    let mask = ProjectionMask::roots(metadata.parquet_schema(), all.list());
    let groups = metadata.metadata().num_row_groups();
    let threads = request.threads.clamp(1, groups.max(1));
    let read_groups = |groups: Vec<usize>| -> Result<PathCountsBuilder> {
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(open(path)?, metadata.clone())
                .with_projection(mask.clone())
                .with_row_groups(groups)
                .with_batch_size(BATCH_ROWS);
        let reader = builder.build().map_err(|error| unreadable(path, error))?;
        let mut taker = Taker::new(request);
        let mut columns = None;
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(path, error))?;
            if columns.is_none() {
                columns = Some(Columns::of(path, &batch.schema())?);
            }
            if let Some(columns) = &columns {
                taker.take(&batch, columns)?;
            }
        }
        Ok(taker.builder)
    };
    let parts: Vec<Result<PathCountsBuilder>> = std::thread::scope(|scope| {
        let parts: Vec<Vec<usize>> = (0..threads)
            .map(|thread| (0..groups).filter(|group| group % threads == thread).collect())
            .collect();
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        let others: Vec<_> = parts.map(|part| scope.spawn(|| read_groups(part))).collect();
        let mut read = vec![read_groups(first)];
        read.extend(others.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(unreadable(path, "a thread that read it failed")))
        }));
        read
    });
    let mut parts = parts.into_iter();
    let mut whole = parts.next().unwrap_or_else(|| Ok(PathCountsBuilder::default()))?;
    for part in parts {
        whole.merge(&part?).map_err(unfit)?;
    }
    Ok(whole)
}

/// Takes batches into counts.
struct Taker<'a> {
    request: &'a PathsFile,
    builder: PathCountsBuilder,
    portion: Portion,
    row: u64,
}

impl<'a> Taker<'a> {
    fn new(request: &'a PathsFile) -> Self {
        Self { request, builder: PathCountsBuilder::default(), portion: Portion::default(), row: 0 }
    }

    fn take(&mut self, batch: &RecordBatch, columns: &Columns) -> Result<()> {
        let path = &self.request.path;
        let typed = |at: usize, data_type: &DataType| {
            cast(batch.column(at), data_type).map_err(|error| unreadable(path, error))
        };
        let count = |at: Option<usize>| at.map(|at| typed(at, &DataType::Int64)).transpose();
        let converted = typed(columns.converted, &DataType::Int64)?;
        let (converted, lost) = (converted.as_primitive::<Int64Type>(), count(columns.lost)?);
        let lost = lost.as_ref().map(|lost| lost.as_primitive::<Int64Type>());
        let value = columns.value.map(|at| typed(at, &DataType::Float64)).transpose()?;
        let value = value.as_ref().map(|value| value.as_primitive::<Float64Type>());
        let texts = Steps::of(batch.column(columns.path), path)?;
        for row in 0..batch.num_rows() {
            self.row += 1;
            let count = |count: i64| {
                u64::try_from(count).map_err(|_| {
                    let told = format!("row {} of `{}` counts {count}", self.row, path.display());
                    refused(told, "counts of journeys are 0 or more")
                })
            };
            let converted = count(if converted.is_valid(row) { converted.value(row) } else { 0 })?;
            let lost = match lost {
                Some(lost) => count(if lost.is_valid(row) { lost.value(row) } else { 0 })?,
                // A row a journey: what did not convert was lost.
                None => u64::from(converted == 0),
            };
            let value = value.map_or(0.0, |v| if v.is_valid(row) { v.value(row) } else { 0.0 });
            let (builder, portion) = (&mut self.builder, &mut self.portion);
            texts
                .each(row, self.request.separator, |name| {
                    portion.step(builder.channel(name)?);
                    Ok(())
                })
                .map_err(unfit)?;
            let micros = (value * 1e6).round();
            if !micros.is_finite() || micros.abs() >= i64::MAX as f64 {
                let told =
                    format!("row {} of `{}` has the value {value}", self.row, path.display());
                return Err(refused(told, "values are amounts of money"));
            }
            portion.end(converted, lost, micros as i64);
            if portion.is_full() {
                builder.add_all(portion).map_err(unfit)?;
            }
        }
        self.builder.add_all(&mut self.portion).map_err(unfit)
    }
}

/// The column of paths: texts with a separator, or lists of names.
enum Steps {
    Text(StringArray),
    List(arrow::array::ListArray, StringArray),
}

impl Steps {
    fn of(column: &ArrayRef, file: &Path) -> Result<Self> {
        let bad = |error: ArrowError| unreadable(file, error);
        if matches!(column.data_type(), DataType::List(_) | DataType::LargeList(_)) {
            let item = Arc::new(Field::new("item", DataType::Utf8, true));
            let lists = cast(column, &DataType::List(item)).map_err(bad)?;
            let lists = lists.as_list::<i32>().clone();
            let names = lists.values().as_string::<i32>().clone();
            return Ok(Self::List(lists, names));
        }
        let texts = cast(column, &DataType::Utf8).map_err(bad)?;
        Ok(Self::Text(texts.as_string::<i32>().clone()))
    }

    /// Each channel of a row; none where the row has no path.
    fn each<E>(
        &self,
        row: usize,
        separator: char,
        mut take: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Text(texts) if texts.is_valid(row) && !texts.value(row).is_empty() => {
                match u8::try_from(separator) {
                    Ok(separator) if separator.is_ascii() => {
                        split(texts.value(row), separator, take)
                    }
                    _ => texts.value(row).split(separator).try_for_each(|name| take(trim(name))),
                }
            }
            Self::List(lists, names) if lists.is_valid(row) => {
                let offsets = lists.value_offsets();
                (offsets[row]..offsets[row + 1]).try_for_each(|at| take(names.value(at as usize)))
            }
            _ => Ok(()),
        }
    }
}

/// What `str::split` does, quicker for names of a few bytes.
fn split<E>(
    text: &str,
    separator: u8,
    mut take: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    /// A byte in each of a word's eight places.
    const fn eight(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut start = 0;
    let mut cut = |end: usize| {
        let name = trim(&text[start..end]);
        start = end + 1;
        take(name)
    };
    for (at, word) in words.iter().enumerate() {
        // Zero where the separator is; then the highest bit of each byte that is zero, as no sum goes over into the next one.
        let word = u64::from_le_bytes(*word) ^ eight(separator);
        let mut found = !((word & eight(0x7f)) + eight(0x7f) | word | eight(0x7f));
        while found != 0 {
            cut(at * 8 + found.trailing_zeros() as usize / 8)?;
            found &= found - 1;
        }
    }
    for (at, byte) in rest.iter().enumerate() {
        if *byte == separator {
            cut(words.len() * 8 + at)?;
        }
    }
    cut(text.len())
}

/// What `str::trim` does, quicker where there is one space or none.
fn trim(name: &str) -> &str {
    let inner = name.strip_prefix(' ').unwrap_or(name);
    let inner = inner.strip_suffix(' ').unwrap_or(inner);
    match inner.as_bytes() {
        [only] if only.is_ascii_graphic() => inner,
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => inner,
        _ => name.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_the_standard_library_cuts_them() {
        let texts = [
            "",
            ">",
            " > ",
            "a",
            "a > b",
            "a>b>",
            ">a",
            "  a  >\tb\u{a0}> ö >é",
            "a b > c  d",
            "x\u{2003}> \u{2003}y ",
            "日本 > 語",
            "a >> b",
            // Bytes that differ from the separator in the lowest or the highest bit, in every place of a word.
            ">?>>??>>>???>>>>????>>>>>?????",
            "¾>¾¾>>¾¾¾>>>¾¾¾¾>>>>¾¾¾¾¾>>>>>?¾",
        ];
        for text in texts {
            let mut found = Vec::new();
            let taken: Result<(), ()> = split(text, b'>', |name| {
                found.push(name.to_owned());
                Ok(())
            });
            taken.unwrap();
            let wanted: Vec<&str> = text.split('>').map(str::trim).collect();
            assert_eq!(found, wanted, "{text:?}");
        }
    }
}

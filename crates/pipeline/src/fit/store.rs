//! The seed that keeps the fits: the newest of each attribution model is marked, some before it stay.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::csv::{ReaderBuilder, WriterBuilder};
use clicktrail_project::{ResourceType, SelectArgs};

use super::refused;
use super::rows::FIT_ID;
use crate::error::{PipelineError, Result};
use crate::live::arrow_fault;
use crate::report::Reporter;
use crate::workspace::{RunRequest, Verb, Workspace};

/// Name of the seed and of its table.
const SEED: &str = "fit_channel_weights";

/// Fits kept: enough to see how shares move, few enough to read the file.
const KEPT_FITS: usize = 12;

/// Puts the rows into the seed's file and loads it; gives the file, relative to the project.
pub(super) fn keep(
    workspace: &Workspace,
    rows: &RecordBatch,
    reporter: &dyn Reporter,
) -> Result<String> {
    let path = file(workspace);
    let full = workspace.project.dir.join(&path);
    let text = match fs::read(&full) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(PipelineError::io("read", &full)(error)),
    };
    let shown = path.display().to_string();
    let before = read(&text, rows).map_err(|error| {
        refused(
            format!("{shown} is not what a fit writes: {error}"),
            "move the file away, and fit again",
        )
    })?;
    let all = joined(before.as_ref(), rows)?;
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_header(true).build(&mut bytes);
    writer.write(&all).map_err(arrow_fault)?;
    drop(writer);
    if let Some(dir) = full.parent() {
        fs::create_dir_all(dir).map_err(PipelineError::io("create", dir))?;
    }
    // Written beside it and renamed: a reader sees the old file or the new one.
    let draft = full.with_extension("csv.tmp");
    fs::write(&draft, bytes).map_err(PipelineError::io("write", &draft))?;
    fs::rename(&draft, &full).map_err(PipelineError::io("write", &full))?;
    load(workspace, reporter)?;
    Ok(shown)
}

/// Where the seed is, or belongs.
fn file(workspace: &Workspace) -> PathBuf {
    let nodes = workspace.project.manifest.nodes.values();
    let mut seeds = nodes.filter(|node| node.resource_type == ResourceType::Seed);
    match seeds.find(|node| node.name == SEED) {
        Some(seed) => seed.original_file_path.clone(),
        None => PathBuf::from("seeds").join(format!("{SEED}.csv")),
    }
}

/// Rows of the fits before, in the columns of the new ones; `None` when there are none.
fn read(text: &[u8], like: &RecordBatch) -> Result<Option<RecordBatch>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let header = String::from_utf8_lossy(header);
    let schema = like.schema();
    let wanted: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if header.trim_end() != wanted.join(",") {
        return Err(format!("its columns should be {}", wanted.join(",")));
    }
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(Cursor::new(text));
    let batches = reader
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string())?;
    concat_batches(&schema, &batches).map(Some).map_err(|error| error.to_string())
}

/// New rows first; what they replace is no longer current; the oldest fits go.
fn joined(before: Option<&RecordBatch>, rows: &RecordBatch) -> Result<RecordBatch> {
    let Some(before) = before else { return Ok(rows.clone()) };
    let texts = |batch: &RecordBatch, name: &str| -> Vec<String> {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        column.into_iter().flatten().map(|text| text.unwrap_or_default().to_owned()).collect()
    };
    let key = |batch: &RecordBatch| -> Vec<(String, String)> {
        texts(batch, "event_name").into_iter().zip(texts(batch, "attribution_model")).collect()
    };
    let replaced = key(rows);
    let was_current = before.column_by_name("is_current").and_then(|flags| flags.as_boolean_opt());
    let current: BooleanArray = key(before)
        .iter()
        .enumerate()
        .map(|(row, key)| {
            let was = was_current.is_none_or(|flags| flags.is_valid(row) && flags.value(row));
            Some(was && !replaced.contains(key))
        })
        .collect();
    let ids = texts(before, FIT_ID);
    let mut kept: Vec<&String> = Vec::new();
    for id in &ids {
        if !kept.contains(&id) && kept.len() + 1 < KEPT_FITS {
            kept.push(id);
        }
    }
    let keep: BooleanArray = ids
        .iter()
        .enumerate()
        .map(|(row, id)| Some(kept.contains(&id) || current.value(row)))
        .collect();
    let schema = rows.schema();
    let at = schema.index_of("is_current").map_err(arrow_fault)?;
    let mut columns = before.columns().to_vec();
    columns[at] = Arc::new(current);
    let before = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(arrow_fault)?;
    let before = filter_record_batch(&before, &keep).map_err(arrow_fault)?;
    Ok(concat_batches(&schema, [rows, &before]).map_err(arrow_fault)?)
}

/// Loads the seed into its table.
fn load(workspace: &Workspace, reporter: &dyn Reporter) -> Result<()> {
    // Opened anew: the file may not have been there when the project was read.
    let workspace = Workspace::open(workspace.settings.clone(), Arc::clone(&workspace.clock))?;
    let request = RunRequest {
        select: SelectArgs { select: vec![SEED.to_owned()], ..SelectArgs::default() },
        ..RunRequest::new(Verb::Seed)
    };
    workspace.execute(&request, reporter)?.sound()
}

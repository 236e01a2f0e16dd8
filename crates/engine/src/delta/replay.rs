//! Lines of a table's log → which files are in it.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use serde_json::Value;

use super::log::DataFile;
use super::schema::from_delta;
use super::sums;

/// Key of a checksum, among a file's tags and in the line about a commit.
pub(super) const CRC: &str = "crc32c";

/// The checksum of what a commit says: its note and its actions.
pub(super) fn crc_of(note: &Value, actions: &str) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(note.to_string().as_bytes()), actions.as_bytes())
}

/// Whether a commit is as it was written, as far as its first line tells.
pub(super) fn is_whole(first: &Value, text: &str) -> bool {
    let Some(info) = first.get("commitInfo") else { return true };
    let Some(expected) = info.get(CRC).and_then(Value::as_str) else { return true };
    let actions = text.split_once('\n').map_or("", |(_, actions)| actions);
    sums::read(expected) == Some(crc_of(&info["clicktrail"], actions))
}

/// Replays commits into the set of live files.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) schema: Option<SchemaRef>,
    pub(super) partition_columns: Vec<String>,
    pub(super) files: BTreeMap<String, DataFile>,
    pub(super) note: Value,
}

impl Replay {
    /// Takes in one line.
    pub(super) fn apply(&mut self, action: &Value) {
        if let Some(meta) = action.get("metaData") {
            let schema: Option<Value> =
                meta["schemaString"].as_str().and_then(|text| serde_json::from_str(text).ok());
            self.schema = schema.as_ref().and_then(from_delta);
            self.partition_columns = meta["partitionColumns"]
                .as_array()
                .map(|names| {
                    names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
                })
                .unwrap_or_default();
        } else if let Some(add) = action.get("add") {
            if let Some(file) = DataFile::from_action(add) {
                self.files.insert(file.path.clone(), file);
            }
        } else if let Some(path) = action.pointer("/remove/path").and_then(Value::as_str) {
            self.files.remove(path);
        } else if let Some(info) = action.get("commitInfo") {
            self.note = info.get("clicktrail").cloned().unwrap_or_default();
        }
    }
}

impl DataFile {
    fn from_action(add: &Value) -> Option<Self> {
        let stats: Value = add["stats"]
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let partition = add["partitionValues"].as_object().cloned().unwrap_or_default();
        Some(Self {
            path: add["path"].as_str()?.to_owned(),
            bytes: add["size"].as_u64()?,
            rows: stats["numRecords"].as_u64().unwrap_or(0),
            crc: add["tags"][CRC].as_str().and_then(sums::read),
            partition: partition
                .into_iter()
                .map(|(column, value)| (column, value.as_str().map(str::to_owned)))
                .collect(),
        })
    }
}

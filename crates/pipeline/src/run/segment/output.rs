//! What workers wrote → what each member's next version is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use clicktrail_engine::delta::{
    DataFile, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};

use super::draft::{Draft, Written};
use super::layout::{Member, reads};
use super::rows::{KEYS, keys_batch, keys_schema};
use super::scope::{ScopeKind, dashed};
use super::shared::Shared;
use crate::catalog::quoted;
use crate::error::{PipelineError, Result};
use crate::feeds::{DAY, STREAM_NAME};
use crate::warehouse::BuildNote;

/// Turns the files of all workers into one draft for each member.
pub(super) fn finish(
    shared: &Shared<'_, '_>,
    mut files: BTreeMap<String, Vec<DataFile>>,
) -> Result<BTreeMap<String, Draft>> {
    let layout = shared.layout;
    let mut failed =
        std::mem::take(&mut *shared.failed.lock().unwrap_or_else(PoisonError::into_inner));
    let seconds =
        std::mem::take(&mut *shared.seconds.lock().unwrap_or_else(PoisonError::into_inner));
    let mut drafts = BTreeMap::new();
    for member in layout.members.iter().filter(|member| member.name == member.node.alias) {
        let spent = seconds.get(&member.name).copied().unwrap_or(0.0);
        let draft = if let Some(error) = failed.remove(&member.name) {
            Draft::failed(error)
        } else if member.passing {
            Draft::passed(spent)
        } else {
            let base = shared.bases.get(&member.name).cloned().flatten();
            match (&shared.scope.kind, base) {
                (ScopeKind::Nothing, Some(base)) => Draft::unchanged(base),
                (_, base) => {
                    let added = files.remove(&member.name).unwrap_or_default();
                    match written(shared, member, base, added) {
                        Ok(written) => Draft::written(written, spent),
                        Err(error) => Draft::failed(error),
                    }
                }
            }
        };
        drafts.insert(member.node.unique_id.clone(), draft);
    }
    Ok(drafts)
}

fn written(
    shared: &Shared<'_, '_>,
    member: &Member<'_>,
    base: Option<Snapshot>,
    mut added: Vec<DataFile>,
) -> Result<Written> {
    let (run, layout, scope) = (shared.run, shared.layout, shared.scope);
    let partition_columns = partition_columns(member);
    let schema = stored_schema(&member.schema)?;
    let mut note = BuildNote {
        fingerprint: run.catalog.fingerprint(member.node)?,
        key: Some(layout.key.clone()),
        inputs: BTreeMap::new(),
        days: scope.fingerprints.clone(),
        content: String::new(),
    };
    for input in layout.keyed.iter().chain(&layout.shared) {
        if reads(layout, member, &input.name) {
            note.inputs.insert(input.name.clone(), input.snapshot.version);
        }
    }
    let (removed, keys, message) = match (&scope.kind, &base) {
        (ScopeKind::Keys(keys), Some(base)) => {
            let removed = if partition_columns == [layout.key.clone()] {
                Removal::Files(files_of(base, &layout.key, keys))
            } else {
                added.extend(kept_rows(shared, member, base, keys)?);
                Removal::Everything
            };
            (
                removed,
                Some((layout.key.clone(), keys_as_stored(&layout.key, keys))),
                count(keys.len(), &layout.key),
            )
        }
        _ => (Removal::Everything, None, String::new()),
    };
    // A stream begins with no event at all; tables that had rows do not lose all of them unasked.
    let begins = layout.feeds.contains_key(STREAM_NAME)
        && base.as_ref().is_none_or(|base| base.files.is_empty());
    if added.is_empty()
        && !layout.feeds.is_empty()
        && !begins
        && leaves_nothing(base.as_ref(), &removed)
    {
        return Err(PipelineError::Setting {
            message: "the export holds no rows".into(),
            hint: Some(
                "check the var `ga4_export`; the tables built before stay as they are".into(),
            ),
        });
    }
    Ok(Written { base, schema, partition_columns, added, removed, note, keys, message })
}

/// Whether nothing of the version before stays.
fn leaves_nothing(base: Option<&Snapshot>, removed: &Removal) -> bool {
    match removed {
        Removal::Nothing => base.is_none_or(|base| base.files.is_empty()),
        Removal::Everything => true,
        Removal::Files(paths) => {
            base.is_none_or(|base| base.files.iter().all(|file| paths.contains(&file.path)))
        }
    }
}

fn count(keys: usize, key: &str) -> String {
    match (key == DAY, keys) {
        (true, 1) => "1 day".into(),
        (true, days) => format!("{days} days"),
        (false, 1) => "1 key".into(),
        (false, keys) => format!("{keys} keys"),
    }
}

fn keys_as_stored(key: &str, keys: &Arc<BTreeSet<String>>) -> Arc<BTreeSet<String>> {
    if key == DAY {
        Arc::new(keys.iter().map(|day| dashed(day)).collect())
    } else {
        Arc::clone(keys)
    }
}

/// Files that hold nothing but rows of the given days.
fn files_of(base: &Snapshot, key: &str, keys: &Arc<BTreeSet<String>>) -> Vec<String> {
    let keys = keys_as_stored(key, keys);
    base.files
        .iter()
        .filter(|file| {
            file.partition.get(key).cloned().flatten().is_some_and(|value| keys.contains(&value))
        })
        .map(|file| file.path.clone())
        .collect()
}

/// Writes the rows of the version before whose keys were not computed again.
fn kept_rows(
    shared: &Shared<'_, '_>,
    member: &Member<'_>,
    base: &Snapshot,
    keys: &Arc<BTreeSet<String>>,
) -> Result<Vec<DataFile>> {
    let session = shared.run.engine.session()?;
    session.add_table("before", base)?;
    let slot = session.add_slot(KEYS, keys_schema())?;
    slot.set(vec![keys_batch(&keys_as_stored(&shared.layout.key, keys))?]);
    let key = quoted(&shared.layout.key);
    let sql = format!(
        "select before.* from before left anti join {KEYS} on cast(before.{key} as varchar) = {KEYS}.\"key\""
    );
    let plan = session.plan(&sql)?;
    let mut writer = writer(shared, member)?;
    session.run(&plan, &mut |batch| writer.write(&batch))?;
    Ok(writer.finish()?)
}

fn partition_columns(member: &Member<'_>) -> Vec<String> {
    member.node.config.partition_by.iter().map(|partition| partition.field.clone()).collect()
}

pub(super) fn writer(shared: &Shared<'_, '_>, member: &Member<'_>) -> Result<TableWriter> {
    let base = shared.bases.get(&member.name).and_then(Option::as_ref);
    let sequence = shared.sequences.get(&member.name).cloned().unwrap_or_default();
    let settings = WriterSettings {
        partition_columns: partition_columns(member),
        unique_columns: crate::run::single::unique_columns(shared.run, member.node),
    };
    let table = shared.run.catalog.warehouse.table(&member.name);
    Ok(TableWriter::new(&table, base, stored_schema(&member.schema)?, settings, sequence)?)
}

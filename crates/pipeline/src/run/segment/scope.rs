//! For which keys a segment has to be computed: all of them, or those whose rows changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clicktrail_engine::datafusion::Session;
use clicktrail_engine::delta::Snapshot;

use super::layout::{Input, Layout, reads};
use crate::catalog::quoted;
use crate::error::Result;
use crate::feeds::{DAY, Days, changed_days};
use crate::run::Run;
use crate::warehouse::BuildNote;

/// Rows that one range should hold: small enough for two ranges and all that is made of them to fit in
/// a few hundred megabytes, large enough that planning and opening files do not show.
const RANGE_ROWS: u64 = 150_000;

/// Fewer changed keys than one for so many rows are worth looking up one by one.
const ROWS_PER_KEY: u64 = 40;

/// The keys to compute.
pub(super) struct Scope {
    pub(super) units: Vec<Unit>,
    pub(super) kind: ScopeKind,
    /// Files of each day, where the segment reads feeds.
    pub(super) days: Days,
    /// Hash of the files of each day.
    pub(super) fingerprints: BTreeMap<String, String>,
}

/// How much of the tables is replaced.
pub(super) enum ScopeKind {
    /// Everything.
    All,
    /// Rows of these keys; others stay.
    Keys(Arc<BTreeSet<String>>),
    /// Nothing has changed.
    Nothing,
}

/// A part of the work.
#[derive(Debug, Clone)]
pub(super) enum Unit {
    /// One day, as `YYYYMMDD`.
    Day(String),
    /// Keys from the first bound (included) to the second (excluded); `None` is open.
    Range(Option<String>, Option<String>),
    /// Just these keys.
    Keys(Arc<BTreeSet<String>>),
}

pub(super) fn decide(run: &Run<'_>, layout: &Layout<'_>) -> Result<Scope> {
    if layout.key == DAY && !layout.feeds.is_empty() {
        return by_day(run, layout);
    }
    let mut scope = Scope {
        units: Vec::new(),
        kind: ScopeKind::All,
        days: Days::default(),
        fingerprints: BTreeMap::new(),
    };
    let rows: u64 = layout.keyed.iter().map(|input| input.snapshot.rows()).max().unwrap_or(0);
    match changed_keys(run, layout)? {
        Some(keys) if keys.is_empty() => scope.kind = ScopeKind::Nothing,
        Some(keys) if (keys.len() as u64) < rows / ROWS_PER_KEY => {
            let keys = Arc::new(keys);
            scope.units.push(Unit::Keys(Arc::clone(&keys)));
            scope.kind = ScopeKind::Keys(keys);
        }
        _ => scope.units = ranges(run, layout, rows)?,
    }
    Ok(scope)
}

fn by_day(run: &Run<'_>, layout: &Layout<'_>) -> Result<Scope> {
    let sources: Vec<String> = layout.feeds.keys().cloned().collect();
    let days = run.catalog.feeds.days(&sources)?;
    let fingerprints = days.fingerprints(&run.catalog.project.dir);
    let mut common: Option<BTreeMap<String, String>> = None;
    let mut whole = run.request.full_refresh;
    for member in layout.members.iter().filter(|member| !member.passing) {
        let Some(note) = note_if_current(run, layout, member)? else {
            whole = true;
            break;
        };
        // Members made from different files can't be brought up to date by the same days.
        whole |= common.as_ref().is_some_and(|common| *common != note.days);
        common = Some(note.days);
    }
    let (kind, units) = match common {
        Some(before) if !whole => {
            let mut changed = changed_days(&before, &fingerprints);
            let last = fingerprints.keys().rev().take(run.request.rebuild_days as usize);
            changed.extend(last.cloned());
            let units = changed
                .iter()
                .filter(|day| days.days.contains_key(*day))
                .cloned()
                .map(Unit::Day)
                .collect();
            let kind = match changed.is_empty() {
                true => ScopeKind::Nothing,
                false => ScopeKind::Keys(Arc::new(changed)),
            };
            (kind, units)
        }
        _ => (ScopeKind::All, days.days.keys().cloned().map(Unit::Day).collect()),
    };
    Ok(Scope { units, kind, days, fingerprints })
}

/// The member's note, if its table exists and was made by the same SQL from inputs of which only keyed
/// ones have changed since.
fn note_if_current(
    run: &Run<'_>,
    layout: &Layout<'_>,
    member: &super::layout::Member<'_>,
) -> Result<Option<BuildNote>> {
    let Some(snapshot) = run.catalog.warehouse.snapshot(&member.name)? else { return Ok(None) };
    let note = BuildNote::of(&snapshot);
    let same = note.fingerprint == run.catalog.fingerprint(member.node)?
        && note.key.as_deref() == Some(&layout.key)
        && layout
            .shared
            .iter()
            .filter(|input| reads(layout, member, &input.name))
            .all(|input| note.inputs.get(&input.name) == Some(&input.snapshot.version));
    Ok(same.then_some(note))
}

/// The keys whose input rows changed since every table of the segment was made; `None`: not known.
fn changed_keys(run: &Run<'_>, layout: &Layout<'_>) -> Result<Option<BTreeSet<String>>> {
    if run.request.full_refresh {
        return Ok(None);
    }
    let mut keys = BTreeSet::new();
    let mut known: BTreeMap<(String, u64), BTreeSet<String>> = BTreeMap::new();
    for member in layout.members.iter().filter(|member| !member.passing) {
        let Some(note) = note_if_current(run, layout, member)? else { return Ok(None) };
        for input in layout.keyed.iter().filter(|input| reads(layout, member, &input.name)) {
            let Some(version) = note.inputs.get(&input.name) else { return Ok(None) };
            let at = (input.name.clone(), *version);
            if !known.contains_key(&at) {
                match changed_since(run, input, *version, &layout.key)? {
                    Some(changed) => known.insert(at.clone(), changed),
                    None => return Ok(None),
                };
            }
            keys.extend(known[&at].iter().cloned());
        }
    }
    Ok(Some(keys))
}

/// Keys of the rows in files that came or went since a version; `None` when that version is too old.
fn changed_since(
    run: &Run<'_>,
    input: &Input,
    version: u64,
    key: &str,
) -> Result<Option<BTreeSet<String>>> {
    if input.snapshot.version == version {
        return Ok(Some(BTreeSet::new()));
    }
    let Some(change) = run.change_of(&input.name) else { return Ok(None) };
    let Some(before) = change.before.filter(|before| before.version == version) else {
        return Ok(None);
    };
    if change.after.version != input.snapshot.version {
        return Ok(None);
    }
    if let Some((column, keys)) = &change.keys
        && column == key
    {
        return Ok(Some(keys.as_ref().clone()));
    }
    let mut keys = BTreeSet::new();
    for (mut here, there) in [(before.clone(), &change.after), (change.after.clone(), &before)] {
        here.files.retain(|file| !there.files.contains(file));
        if !here.files.is_empty() {
            let session = run.engine.session()?;
            keys.extend(key_values(&session, &here, key, 1)?);
        }
    }
    Ok(Some(keys))
}

/// Every `step`-th value of a column, as text.
fn key_values(
    session: &Session,
    snapshot: &Snapshot,
    key: &str,
    step: usize,
) -> Result<Vec<String>> {
    session.add_table("changed", snapshot)?;
    let plan = session.plan(&format!("select {} from changed", quoted(key)))?;
    let mut values = Vec::new();
    let mut at = 0usize;
    session.run(&plan, &mut |batch| {
        let column = batch.column(0);
        let options = FormatOptions::default();
        let Ok(formatter) = ArrayFormatter::try_new(column.as_ref(), &options) else {
            return Ok(());
        };
        for row in 0..column.len() {
            at += 1;
            if at.is_multiple_of(step) && column.is_valid(row) {
                let value = formatter.value(row).to_string();
                // Rows are sorted by key, so most repeats are neighbours.
                if values.last() != Some(&value) {
                    values.push(value);
                }
            }
        }
        Ok(())
    })?;
    Ok(values)
}

/// Cuts the keys of the largest input into ranges of about equal rows.
fn ranges(run: &Run<'_>, layout: &Layout<'_>, rows: u64) -> Result<Vec<Unit>> {
    let threads = run.engine.threads().max(1) as u64;
    // A multiple of the threads, so that none waits for the last range of another.
    let count = rows.div_ceil(RANGE_ROWS).next_multiple_of(threads).max(1);
    let Some(largest) = layout.keyed.iter().max_by_key(|input| input.snapshot.rows()) else {
        return Ok(vec![Unit::Range(None, None)]);
    };
    if count == 1 || rows < 10_000 {
        return Ok(vec![Unit::Range(None, None)]);
    }
    let session = run.engine.session()?;
    let step = usize::try_from(rows / (count * 200)).unwrap_or(1).max(1);
    let mut sample = key_values(&session, &largest.snapshot, &layout.key, step)?;
    sample.sort_unstable();
    let mut bounds: Vec<String> = (1..count)
        .filter_map(|part| sample.get(part as usize * sample.len() / count as usize).cloned())
        .collect();
    bounds.dedup();
    let lower = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let upper = bounds.iter().cloned().map(Some).chain(std::iter::once(None));
    Ok(lower.zip(upper).map(|(lower, upper)| Unit::Range(lower, upper)).collect())
}

/// A key as SQL writes it, for a column of the given type.
pub(super) fn literal(value: &str, data_type: &DataType) -> String {
    let text = value.replace('\'', "''");
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => format!("'{text}'"),
        DataType::Date32 => format!("cast('{text}' as date)"),
        DataType::Timestamp(_, _) => format!("cast('{text}' as timestamp)"),
        _ => text,
    }
}

/// `YYYYMMDD` as dates are printed.
pub(super) fn dashed(day: &str) -> String {
    match (day.get(..4), day.get(4..6), day.get(6..)) {
        (Some(year), Some(month), Some(rest)) => format!("{year}-{month}-{rest}"),
        _ => day.to_owned(),
    }
}

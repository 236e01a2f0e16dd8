//! Events to send: generated ones moved to now, or the lines of files; and what a network does to them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clicktrail_ingest::Format;
use clicktrail_ingest::generate::{GenerateSettings, Random, generate};
use serde_json::Value;

const HOUR_MICROS: i64 = 3_600_000_000;

/// Disturbances of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Knobs {
    /// Share of events sent twice.
    pub(super) duplicates: f64,
    /// Share of events that happened earlier.
    pub(super) late: f64,
    /// How much earlier at most.
    pub(super) late_by_hours: u32,
    /// Neighbours that are shuffled.
    pub(super) reorder: usize,
}

/// New demo events, the youngest of them now. Visitors who buy come first, so that a few events show a path.
pub(super) fn demo(count: u64, seed: u64, now_micros: i64) -> Result<Vec<Vec<u8>>> {
    let rows = generated(seed, (count * 2).max(4_000), now_micros, "stream")?;
    let mut visitors: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    // The generator writes some rows twice, as exports do; a stream's copies are `--duplicates`' matter alone.
    let mut written = HashSet::new();
    for row in rows {
        if !written.insert(serde_json::to_string(&row)?) {
            continue;
        }
        let visitor = row["user_pseudo_id"].as_str().unwrap_or_default().to_owned();
        visitors.entry(visitor).or_default().push(row);
    }
    let mut visitors: Vec<Vec<Value>> = visitors.into_values().collect();
    // Of those who buy, the ones with the shortest way come first.
    visitors
        .sort_by_key(|rows| (!rows.iter().any(|row| row["event_name"] == "purchase"), rows.len()));
    let mut chosen: Vec<Value> = visitors.into_iter().flatten().take(count as usize).collect();
    chosen.sort_by_key(time);
    let youngest = chosen.last().map_or(now_micros, time);
    chosen
        .into_iter()
        .map(|mut row| {
            shift(&mut row, now_micros - youngest);
            Ok(serde_json::to_vec(&row)?)
        })
        .collect()
}

/// Events of the day of an instant, by way of a folder of this process.
fn generated(seed: u64, events: u64, now_micros: i64, name: &str) -> Result<Vec<Value>> {
    let folder = std::env::temp_dir().join(format!("clicktrail-{name}-{}", std::process::id()));
    let day = chrono::DateTime::from_timestamp_micros(now_micros).unwrap_or_default().date_naive();
    let settings = GenerateSettings {
        seed,
        days: 1,
        events,
        format: Format::Ndjson { gzip: false },
        ..GenerateSettings::starting(day)
    };
    let rows = generated_in(&settings, &folder);
    let _ = fs::remove_dir_all(&folder);
    rows
}

fn generated_in(settings: &GenerateSettings, folder: &Path) -> Result<Vec<Value>> {
    let report =
        generate(settings, folder, &|_, _| {}).map_err(clicktrail_pipeline::PipelineError::from)?;
    let mut rows = Vec::new();
    for file in report.files {
        let bytes = fs::read(&file).context("cannot read the generated events")?;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            rows.push(serde_json::from_slice(line)?);
        }
    }
    Ok(rows)
}

/// The lines of some files.
pub(super) fn from_files(files: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    for file in files {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        lines.extend(
            bytes
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty())
                .map(<[u8]>::to_vec),
        );
    }
    Ok(lines)
}

impl Knobs {
    /// Disturbs the events; equal seeds disturb equally.
    pub(super) fn apply(&self, lines: &mut Vec<Vec<u8>>, seed: u64) -> Result<()> {
        let mut dice = Random::new(seed, [0, 0]);
        if self.late > 0.0 {
            for line in lines.iter_mut() {
                if share(&mut dice) < self.late {
                    let mut row: Value = serde_json::from_slice(line)?;
                    let back =
                        share(&mut dice) * f64::from(self.late_by_hours) * HOUR_MICROS as f64;
                    shift(&mut row, -(back as i64));
                    *line = serde_json::to_vec(&row)?;
                }
            }
        }
        if self.duplicates > 0.0 {
            let copies: Vec<Vec<u8>> =
                lines.iter().filter(|_| share(&mut dice) < self.duplicates).cloned().collect();
            for copy in copies {
                let place = (share(&mut dice) * (lines.len() + 1) as f64) as usize;
                lines.insert(place.min(lines.len()), copy);
            }
        }
        for window in lines.chunks_mut(self.reorder.max(1)) {
            for index in (1..window.len()).rev() {
                window.swap(index, (share(&mut dice) * (index + 1) as f64) as usize);
            }
        }
        Ok(())
    }
}

fn time(row: &Value) -> i64 {
    row["event_timestamp"]
        .as_i64()
        .or_else(|| row["event_timestamp"].as_str()?.parse().ok())
        .unwrap_or(0)
}

/// Moves the times of an event; the ids of its session and its order stay.
fn shift(row: &mut Value, micros: i64) {
    for field in ["event_timestamp", "user_first_touch_timestamp"] {
        let old = row[field].as_i64().or_else(|| row[field].as_str()?.parse().ok());
        if let Some(old) = old {
            row[field] = Value::from(old + micros);
        }
    }
}

/// The events of one day's visitors, buyers and others, in the order of their times.
pub(in crate::commands) fn day_of_visitors(seed: u64, now_micros: i64) -> Result<Vec<Value>> {
    let mut rows = generated(seed, 4_000, now_micros, "day")?;
    rows.sort_by_key(time);
    Ok(rows)
}

/// An event as if it happened at that time.
pub(in crate::commands) fn as_of(mut row: Value, micros: i64) -> Result<Vec<u8>> {
    let then = time(&row);
    shift(&mut row, micros - then);
    Ok(serde_json::to_vec(&row)?)
}

/// A number that identifies bytes.
pub(in crate::commands) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// From 0 up to, without, 1.
fn share(dice: &mut Random) -> f64 {
    const STEPS: u64 = 1 << 53;
    dice.below(STEPS) as f64 / STEPS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_events_end_now_and_hold_a_purchase() {
        let now = 1_795_449_600_000_000;
        let lines = demo(30, 7, now).unwrap();
        let rows: Vec<Value> =
            lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert_eq!(rows.len(), 30);
        assert_eq!(rows.iter().map(time).max(), Some(now));
        assert!(rows.iter().any(|row| row["event_name"] == "purchase"));
    }

    #[test]
    fn demo_events_are_all_different() {
        let lines = demo(4_000, 7, 1_795_449_600_000_000).unwrap();
        let different: HashSet<&Vec<u8>> = lines.iter().collect();
        assert_eq!(different.len(), lines.len());
        assert!(lines.len() > 3_000, "{} events", lines.len());
    }

    #[test]
    fn knobs_keep_every_event() {
        let lines: Vec<Vec<u8>> =
            (0..100).map(|n| format!("{{\"event_timestamp\":{n}}}").into_bytes()).collect();
        let knobs = Knobs { duplicates: 0.2, late: 0.0, late_by_hours: 72, reorder: 10 };
        let (mut one, mut other) = (lines.clone(), lines.clone());
        knobs.apply(&mut one, 3).unwrap();
        knobs.apply(&mut other, 3).unwrap();
        assert_eq!(one, other);
        assert!(one.len() > 105 && one.len() < 140, "{}", one.len());
        assert!(lines.iter().all(|line| one.contains(line)));
        assert_ne!(one[..10], lines[..10]);
    }
}

//! A crash at every call the log makes, with loss of power or of the process only.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use clicktrail_eventlog::simulation::{Faults, Rng, SimDisk};
use clicktrail_eventlog::{Entry, Frame, Kind, Log, LogError, Settings, start};

use crate::basics::entry;

const DIR: &str = "/log";

/// What clients know.
#[derive(Default)]
pub(crate) struct Model {
    /// Everything that was ever handed to the log under a number.
    sent: BTreeMap<u64, Vec<Entry>>,
    /// What the log said is durable.
    acked: BTreeMap<u64, Entry>,
    /// Frames up to here were released.
    released: u64,
    /// Makes payloads differ.
    count: u64,
}

pub(crate) fn settings() -> Settings {
    Settings { segment_bytes: 2_500, ..Settings::default() }
}

impl Model {
    pub(crate) fn open(&mut self, disk: &SimDisk) -> Result<Log, LogError> {
        let (log, opened) = Log::open(Arc::new(disk.clone()), Path::new(DIR), &settings())?;
        self.check(&log)?;
        assert_eq!((opened.first_seq, opened.next_seq), (log.first_seq(), log.next_seq()));
        Ok(log)
    }

    /// What was acknowledged is there, nothing else than what was sent is, numbers have no gaps.
    fn check(&mut self, log: &Log) -> Result<(), LogError> {
        let first = log.first_seq();
        assert!(first <= self.released + 1, "{first} is first, {} was released", self.released);
        let mut next = first;
        for frame in log.frames(first)? {
            let frame = frame?;
            assert_eq!(frame.seq, next);
            next += 1;
            let entry = Entry {
                kind: frame.kind,
                rows: frame.rows,
                received_at: frame.received_at,
                payload: frame.payload,
            };
            let sent = self.sent.get(&frame.seq).map_or(&[][..], Vec::as_slice);
            assert!(sent.contains(&entry), "frame {} was never sent", frame.seq);
            if let Some(acked) = self.acked.get(&frame.seq) {
                assert_eq!(*acked, entry, "frame {}", frame.seq);
            }
            // Opening made it durable.
            self.acked.insert(frame.seq, entry);
        }
        assert_eq!(next, log.next_seq());
        let last = self.acked.last_key_value().map_or(0, |(seq, _)| *seq);
        assert!(next > last, "{last} was acknowledged, {next} is the next frame");
        Ok(())
    }

    pub(crate) fn append(&mut self, log: &mut Log, rng: &mut Rng) -> Result<(), LogError> {
        let entries: Vec<Entry> = (0..=rng.below(3)).map(|_| self.entry(rng)).collect();
        let first = log.next_seq();
        for (seq, entry) in (first..).zip(&entries) {
            self.sent.entry(seq).or_default().push(entry.clone());
        }
        let seqs = log.append(&entries)?;
        assert_eq!(seqs, first..=first + entries.len() as u64 - 1);
        Ok(())
    }

    fn entry(&mut self, rng: &mut Rng) -> Entry {
        self.count += 1;
        let len = usize::try_from(rng.below(700)).unwrap();
        let mut payload = self.count.to_le_bytes().to_vec();
        payload.resize(8 + len, rng.number().to_le_bytes()[0]);
        Entry { kind: Kind::Control, rows: 2, received_at: -5, payload }
    }

    pub(crate) fn sync(&mut self, log: &mut Log) -> Result<(), LogError> {
        log.sync()?;
        let durable = log.durable_seq();
        let last = self.acked.last_key_value().map_or(0, |(seq, _)| *seq);
        for seq in last + 1..=durable {
            self.acked.insert(seq, self.sent[&seq].last().unwrap().clone());
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, log: &Log, rng: &mut Rng) -> Result<(), LogError> {
        let last = self.acked.last_key_value().map_or(0, |(seq, _)| *seq);
        let up_to = self.released + rng.below(last - self.released + 1);
        // From here on the frames may be gone.
        self.released = up_to;
        log.release(up_to).map(drop)
    }

    /// Sends, syncs, releases and opens again, as the seed says.
    pub(crate) fn work(&mut self, disk: &SimDisk, seed: u64, steps: u32) -> Result<(), LogError> {
        let rng = &mut Rng::new(seed);
        let mut log = self.open(disk)?;
        for _ in 0..steps {
            match rng.below(10) {
                0..5 => self.append(&mut log, rng)?,
                5..8 => self.sync(&mut log)?,
                8 => self.release(&log, rng)?,
                _ => {
                    drop(log);
                    log = self.open(disk)?;
                }
            }
        }
        Ok(())
    }

    /// The log opens, holds what it must, and takes more.
    pub(crate) fn recovers(&mut self, disk: &SimDisk, seed: u64) {
        self.work(disk, seed, 6).unwrap();
        let mut log = self.open(disk).unwrap();
        self.append(&mut log, &mut Rng::new(seed)).unwrap();
        self.sync(&mut log).unwrap();
        drop(log);
        self.open(disk).unwrap();
    }
}

fn restart(disk: &SimDisk, how: u64) {
    if how.is_multiple_of(4) {
        disk.kill();
    } else {
        disk.crash();
    }
}

/// Crashes at call `at`, and once more while recovering.
fn crash_at(seed: u64, at: u64, steps: u32) {
    let disk = SimDisk::new(seed ^ at << 20);
    let mut model = Model::default();
    disk.set_faults(Faults {
        crash_at_call: Some(at),
        short_percent: seed % 3 * 15,
        ..Faults::default()
    });
    // An error, unless the last call of all was one that may fail: writing the ack file.
    let _ = model.work(&disk, seed, steps);
    assert!(disk.is_down());
    restart(&disk, seed + at);
    let again = disk.calls().all + 1 + (seed + at) % 13;
    disk.set_faults(Faults { crash_at_call: Some(again), ..Faults::default() });
    let recovered = model.work(&disk, seed + 1, 3);
    assert!(recovered.is_ok() || disk.is_down(), "{recovered:?}");
    restart(&disk, seed + at + 1);
    model.recovers(&disk, seed + 2);
}

#[test]
fn a_crash_at_every_call_loses_nothing_acknowledged() {
    const STEPS: u32 = 30;
    let seeds = std::env::var("EVENTLOG_SEEDS").map_or(60, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let disk = SimDisk::new(seed);
        Model::default().work(&disk, seed, STEPS).unwrap();
        for at in 1..=disk.calls().all {
            let outcome = std::panic::catch_unwind(|| crash_at(seed, at, STEPS));
            assert!(outcome.is_ok(), "seed {seed}, crash at call {at}");
        }
    }
}

/// The log thread on a disk that crashes at call `at`; returns whether it did.
fn thread_crashes_at(seed: u64, at: u64) -> bool {
    const ENTRIES: usize = 24;
    let disk = SimDisk::new(seed);
    let settings = Settings { group_bytes: 800, ..settings() };
    let (log, _) = Log::open(Arc::new(disk.clone()), Path::new(DIR), &settings).unwrap();
    disk.set_faults(Faults { crash_at_call: Some(disk.calls().all + at), ..Faults::default() });
    let handed = Arc::new(Mutex::new(Vec::new()));
    let sink = handed.clone();
    let on_frames = Box::new(move |frames: Vec<Frame>| sink.lock().unwrap().extend(frames));
    let (appender, writer) = start(log, on_frames, Box::new(drop)).unwrap();
    let (tell, told) = mpsc::channel();
    for n in 0..ENTRIES {
        let tell = tell.clone();
        let payload = vec![u8::try_from(n).unwrap(); 300];
        appender
            .submit(entry(payload), Box::new(move |stored| tell.send((n, stored)).unwrap()))
            .unwrap();
    }
    let stopped = writer.stop();
    drop((tell, appender));
    let answers: Vec<_> = told.iter().collect();
    assert_eq!(answers.len(), ENTRIES, "everyone gets one answer");
    let crashed = disk.is_down();
    assert!(crashed || stopped.is_ok());
    drop(stopped);
    restart(&disk, seed + at);
    let (log, _) = Log::open(Arc::new(disk), Path::new(DIR), &settings).unwrap();
    let frames: Vec<Frame> = log.frames(1).unwrap().map(Result::unwrap).collect();
    for (n, seq) in answers.iter().filter_map(|(n, stored)| Some((*n, stored.clone().ok()?))) {
        let frame = &frames[usize::try_from(seq).unwrap() - 1];
        assert_eq!((frame.seq, usize::from(frame.payload[0])), (seq, n));
    }
    let handed = handed.lock().unwrap();
    assert_eq!(handed[..], frames[..handed.len()], "what was handed on is what is stored");
    crashed
}

#[test]
fn whoever_was_told_ok_by_the_log_thread_finds_it_after_a_crash() {
    for seed in 0..20 {
        let calls = (1..).find(|at| !thread_crashes_at(seed, *at)).unwrap();
        assert!(calls > 10, "{calls} calls are too few for this test");
    }
}

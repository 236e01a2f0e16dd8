//! A disk in memory that crashes, fills up and lies as told, the same for equal seeds.
//!
//! It keeps what readers see apart from what would survive a loss of power. [`SimDisk::crash`]
//! brings the two together: of what was not synced, any part may have reached the disk, in any
//! order, torn at sectors. A process that is killed loses nothing it had written, which is
//! [`SimDisk::kill`].
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use clicktrail_eventlog::{Entry, Kind, Log, Settings, simulation::SimDisk};
//!
//! let disk = SimDisk::new(42);
//! let dir = Path::new("/log");
//! let (mut log, _) = Log::open(Arc::new(disk.clone()), dir, &Settings::default())?;
//! log.append(&[Entry { kind: Kind::Events, rows: 1, received_at: 0, payload: vec![1] }])?;
//! log.sync()?;
//! drop(log);
//! disk.crash();
//! let (log, opened) = Log::open(Arc::new(disk), dir, &Settings::default())?;
//! assert_eq!((opened.next_seq, log.frames(1)?.count()), (2, 1));
//! # Ok::<(), clicktrail_eventlog::LogError>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::DiskFile;

mod calls;
mod contents;

use calls::Handle;
use contents::Contents;

/// Size of the simulated file system when none is set.
const CAPACITY: u64 = 1 << 40;

/// A small generator of numbers that are random enough and depend on the seed only (splitmix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.number() % end }
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What is to go wrong, and when. Calls are counted from 1 since the disk was created; of sync and
/// write their own calls.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// At this call the machine goes: the call may be done in part, it and all later ones fail.
    pub crash_at_call: Option<u64>,
    /// This sync of a file fails once, and what it should have made durable may be lost, although
    /// it can still be read and later syncs succeed.
    pub fail_sync: Option<u64>,
    /// This write finds no space after a part of its bytes, once.
    pub full_at_write: Option<u64>,
    /// This write fails with an I/O error after a part of its bytes, once.
    pub fail_write: Option<u64>,
    /// Writes and reads in percent that do a part of what they were asked for, which is no error.
    pub short_percent: u64,
    /// What each sync takes on the simulated clock.
    pub sync_takes: Duration,
}

/// Calls up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// All of them.
    pub all: u64,
    /// Writes to files.
    pub writes: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of folders.
    pub dir_syncs: u64,
    /// Time that passed on the simulated clock.
    pub elapsed: Duration,
}

/// A change of names in a folder.
#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Move(PathBuf, PathBuf, usize),
}

#[derive(Debug)]
struct State {
    rng: Rng,
    faults: Faults,
    calls: Calls,
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    changes: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    capacity: u64,
    /// The machine is gone until it is started again.
    down: bool,
    /// Handles of an earlier start are of no use.
    boot: u64,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// Which kind of call is made, since some are counted and fail on their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Sync,
    SyncDir,
    Other,
}

fn gone() -> io::Error {
    io::Error::other("the simulated machine is down")
}

impl State {
    /// Counts a call; true when the machine goes down in the middle of it.
    fn enter(&mut self, call: Call) -> io::Result<bool> {
        if self.down {
            return Err(gone());
        }
        self.calls.all += 1;
        match call {
            Call::Write => self.calls.writes += 1,
            Call::Sync => {
                self.calls.syncs += 1;
                self.calls.elapsed += self.faults.sync_takes;
            }
            Call::SyncDir => self.calls.dir_syncs += 1,
            Call::Other => {}
        }
        self.down = self.faults.crash_at_call == Some(self.calls.all);
        Ok(self.down)
    }

    /// A call that is done wholly or, when the machine goes down, not at all.
    fn simple(&mut self) -> io::Result<()> {
        if self.enter(Call::Other)? { Err(gone()) } else { Ok(()) }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].seen().len() as u64).sum()
    }

    fn restart(&mut self) {
        self.boot += 1;
        self.down = false;
        self.faults = Faults::default();
        self.locks.clear();
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Move(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Link(path, _) | Self::Unlink(path) | Self::Move(_, path, _)) = self;
        path.parent() == Some(dir)
    }
}

impl SimDisk {
    /// An empty disk; all it does by chance depends on the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                rng: Rng::new(seed),
                faults: Faults::default(),
                calls: Calls::default(),
                files: Vec::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                changes: Vec::new(),
                locks: BTreeSet::new(),
                capacity: CAPACITY,
                down: false,
                boot: 0,
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what is to go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Sets the size of the file system; writes beyond it find no space.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Calls up to now.
    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    /// True after a crash that was ordered, until [`SimDisk::crash`] or [`SimDisk::kill`].
    pub fn is_down(&self) -> bool {
        self.state().down
    }

    /// A clock that goes on only while the disk works.
    pub fn clock(&self) -> Box<dyn Fn() -> Duration + Send> {
        let disk = self.clone();
        Box::new(move || disk.calls().elapsed)
    }

    /// The power goes, and comes back: of what was not synced, some is lost. Faults are cleared.
    pub fn crash(&self) {
        let state = &mut *self.state();
        let sector = if state.rng.chance(50) { 512 } else { 4096 };
        // Sometimes nothing reaches the disk, sometimes nearly all.
        let kept = [0, 10, 50, 90, 100][usize::try_from(state.rng.below(5)).unwrap_or(0)];
        for file in &mut state.files {
            file.lose_power(&mut state.rng, sector, kept);
        }
        for change in std::mem::take(&mut state.changes) {
            if state.rng.chance(kept) {
                change.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        state.restart();
    }

    /// The process is killed: what it had written stays, its locks and handles do not. Faults are
    /// cleared.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// The bytes of a file as readers see them.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).map(|file| state.files[*file].seen().to_vec())
    }

    /// Replaces a file's bytes, durably: for damage, and for getting back to an earlier state.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(Contents::durable(bytes));
        state.names.insert(path.to_owned(), file);
        state.durable_names.insert(path.to_owned(), file);
    }

    /// Turns one bit of a file around, durably.
    ///
    /// # Panics
    /// When there is no such file or byte.
    pub fn flip(&self, path: &Path, offset: usize, bit: u8) {
        let mut bytes = self.read(path).expect("a file to damage");
        bytes[offset] ^= 1 << bit;
        self.put(path, bytes);
    }

    /// Deletes a file, durably.
    pub fn delete(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// All files there are.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// A disk of its own with the same files, all durable.
    pub fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        for path in self.paths() {
            copy.put(&path, self.read(&path).unwrap_or_default());
        }
        copy
    }

    fn handle(&self, state: &State, file: usize) -> Box<dyn DiskFile> {
        Box::new(Handle { disk: self.clone(), file, boot: state.boot })
    }
}

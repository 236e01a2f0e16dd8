//! A disk that stalls: memory stays bounded, groups grow, and nothing taken is lost.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use clicktrail_eventlog::{Disk, DiskFile, DiskLock, Entry, Log, RealDisk, Settings, Space, start};

use crate::basics::entry;

/// A door that syncs wait at.
#[derive(Debug, Default)]
struct Door {
    closed: Mutex<bool>,
    moved: Condvar,
    /// Whether a sync stands before it.
    knocked: AtomicBool,
}

impl Door {
    fn set(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.moved.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.closed.lock().unwrap();
        while *closed {
            self.knocked.store(true, Ordering::Release);
            closed = self.moved.wait(closed).unwrap();
        }
    }
}

/// The real disk behind a door.
#[derive(Debug)]
struct StallingDisk(Arc<Door>);

#[derive(Debug)]
struct StallingFile(Box<dyn DiskFile>, Arc<Door>);

impl Disk for StallingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(StallingFile(RealDisk.open(path)?, Arc::clone(&self.0))))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(StallingFile(RealDisk.create(path)?, Arc::clone(&self.0))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        RealDisk.space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        RealDisk.lock(path)
    }

    fn nonce(&self) -> io::Result<u64> {
        RealDisk.nonce()
    }
}

impl DiskFile for StallingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync_data()
    }
}

#[test]
fn while_the_disk_stalls_memory_is_bounded_and_then_one_sync_serves_many() {
    const QUEUE_BYTES: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let door = Arc::new(Door::default());
    let settings = Settings {
        max_queue_bytes: QUEUE_BYTES,
        max_entry_bytes: 10_000,
        min_free_percent: 0,
        ..Settings::default()
    };
    let disk = Arc::new(StallingDisk(Arc::clone(&door)));
    let (log, _) = Log::open(disk, folder.path(), &settings).unwrap();
    let (appender, writer) = start(log, Box::new(|_| {}), Box::new(|_| {})).unwrap();
    let (tell, told) = mpsc::channel();
    let submit = |entry: Entry| {
        let tell = tell.clone();
        appender.submit(entry, Box::new(move |answer| tell.send(answer).unwrap()))
    };
    let large = || Entry { payload: vec![b'x'; 1_000], ..entry("large") };

    door.set(true);
    submit(large()).unwrap();
    while !door.knocked.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let mut taken = 1;
    while submit(large()).is_ok() {
        taken += 1;
    }
    assert!(appender.queued_bytes() <= QUEUE_BYTES);
    assert!((80..=100).contains(&taken), "{taken}");
    assert!(submit(large()).is_err(), "refused at once, not kept");
    assert!(told.try_recv().is_err(), "nothing is acknowledged before its sync");

    door.set(false);
    for _ in 0..taken {
        assert!(told.recv_timeout(Duration::from_secs(30)).unwrap().is_ok());
    }
    let counters = appender.counters();
    assert_eq!(counters.frames, taken);
    assert!(counters.busy >= 2);
    // What came while the disk stalled went to it together.
    assert_eq!(counters.groups, 2);
    assert!(submit(large()).is_ok());
    let log = writer.stop().unwrap();
    assert_eq!(log.frames(1).unwrap().count() as u64, taken + 1);
}

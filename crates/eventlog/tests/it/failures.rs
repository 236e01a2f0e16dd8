//! Disks that refuse: syncs that fail, space that runs out, writes that do not work.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use clicktrail_eventlog::simulation::{Faults, Rng, SimDisk};
use clicktrail_eventlog::{
    AppendError, Appender, Busy, Entry, Frame, Log, LogError, SYNC_BOUNDS, Settings, start,
};

use crate::basics::entry;
use crate::crash::Model;
use crate::damage::{DIR, frames, open};

type Answer = Result<u64, AppendError>;

fn submit(appender: &Appender, entry: Entry) -> Result<mpsc::Receiver<Answer>, Busy> {
    let (tell, told) = mpsc::channel();
    appender.submit(entry, Box::new(move |answer| tell.send(answer).unwrap()))?;
    Ok(told)
}

fn answer(appender: &Appender, entry: Entry) -> Answer {
    submit(appender, entry).unwrap().recv_timeout(Duration::from_secs(30)).unwrap()
}

#[test]
fn after_a_failed_sync_nothing_is_taken_and_nothing_was_promised() {
    for failing in 3..6 {
        let disk = SimDisk::new(failing);
        let (log, _) = open(&disk).unwrap();
        let handed = Arc::new(Mutex::new(0));
        let sink = handed.clone();
        let (fatal, told) = mpsc::channel();
        let syncs = disk.calls().syncs;
        disk.set_faults(Faults { fail_sync: Some(syncs + failing), ..Faults::default() });
        let (appender, writer) = start(
            log,
            Box::new(move |frames| *sink.lock().unwrap() += frames.len()),
            Box::new(move |error| fatal.send(error.code()).unwrap()),
        )
        .unwrap();
        let mut acked = Vec::new();
        let refused = loop {
            match answer(&appender, entry("one")) {
                Ok(seq) => acked.push(seq),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, AppendError::Failed(_)), "{refused:?}");
        assert!(matches!(answer(&appender, entry("two")), Err(AppendError::Failed(_))));
        assert_eq!(told.recv_timeout(Duration::from_secs(30)).unwrap(), "E5008");
        assert!(writer.stop().is_err());
        assert_eq!(*handed.lock().unwrap(), acked.len());
        // A new process still sees what the failed sync has lost. Once the log has shown it, it
        // stays.
        disk.kill();
        let (log, _) = open(&disk).unwrap();
        let shown = frames(&log);
        assert!(shown.len() >= acked.len());
        drop(log);
        disk.crash();
        let (log, _) = open(&disk).unwrap();
        assert_eq!(frames(&log), shown);
    }
}

#[test]
fn a_failed_log_refuses_append_and_sync() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[entry("one")]).unwrap();
    let syncs = disk.calls().syncs;
    disk.set_faults(Faults { fail_sync: Some(syncs + 1), ..Faults::default() });
    assert!(matches!(log.sync(), Err(LogError::Sync { .. })));
    assert!(matches!(log.sync(), Err(LogError::Failed { .. })));
    assert!(matches!(log.append(&[entry("two")]), Err(LogError::Failed { .. })));
    assert_eq!(log.durable_seq(), 0);
}

#[test]
fn every_sync_may_fail_once_and_every_write_too() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        Model::default().work(&disk, seed, 30).unwrap();
        let calls = disk.calls();
        let syncs = (1..=calls.syncs).map(|at| Faults { fail_sync: Some(at), ..Faults::default() });
        let writes =
            (1..=calls.writes).map(|at| Faults { fail_write: Some(at), ..Faults::default() });
        for (round, faults) in syncs.chain(writes).enumerate() {
            let disk = SimDisk::new(seed);
            disk.set_faults(faults.clone());
            let mut model = Model::default();
            // Fails, except where only the ack file was to be written.
            let _ = model.work(&disk, seed, 30);
            // First the process, then the power: what the log shows in between must stay.
            disk.kill();
            let shown = model.work(&disk, seed + 1, 2);
            assert!(shown.is_ok(), "seed {seed}, {faults:?}: {shown:?}");
            if round % 2 == 0 {
                disk.crash();
            }
            model.recovers(&disk, seed + 2);
        }
    }
}

#[test]
fn no_space_at_any_write_refuses_that_group_only() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        Model::default().work(&disk, seed, 30).unwrap();
        for at in 1..=disk.calls().writes {
            let disk = SimDisk::new(seed);
            let mut model = Model::default();
            let mut log = model.open(&disk).unwrap();
            let writes = disk.calls().writes;
            disk.set_faults(Faults { full_at_write: Some(writes + at), ..Faults::default() });
            let rng = &mut Rng::new(seed);
            let mut refused = 0;
            for _ in 0..15 {
                match model.append(&mut log, rng) {
                    Ok(()) => {}
                    Err(LogError::Full { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                if rng.chance(60) {
                    model.sync(&mut log).unwrap();
                }
            }
            assert!(refused <= 1);
            drop(log);
            disk.crash();
            model.recovers(&disk, seed + 2);
        }
    }
}

#[test]
fn a_full_disk_says_so_and_goes_on_when_there_is_space() {
    let disk = SimDisk::new(3);
    let (log, _) = open(&disk).unwrap();
    let (appender, writer) =
        start(log, Box::new(drop), Box::new(|error| panic!("{error}"))).unwrap();
    assert_eq!(answer(&appender, entry("fits")), Ok(1));
    // Five percent are kept free.
    disk.set_capacity(1_000);
    for _ in 0..3 {
        assert_eq!(answer(&appender, entry(vec![1; 900])), Err(AppendError::Full));
    }
    assert_eq!(answer(&appender, entry("small")), Ok(2));
    assert_eq!(appender.counters().full, 3);
    disk.set_capacity(100_000);
    assert_eq!(answer(&appender, entry(vec![1; 900])), Ok(3));
    let log = writer.stop().unwrap();
    assert_eq!(frames(&log).len(), 3);
    drop(log);
    disk.set_capacity(0);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!((frames(&log).len(), opened.next_seq), (3, 4), "opens while full");
}

#[test]
fn entries_over_the_limit_are_refused() {
    let disk = SimDisk::new(3);
    let settings = Settings { max_entry_bytes: 100, max_queue_bytes: 200, ..Settings::default() };
    let (mut log, _) = Log::open(Arc::new(disk), Path::new(DIR), &settings).unwrap();
    let error = log.append(&[entry("small"), entry(vec![0; 101])]).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { bytes: 101, limit_bytes: 100 }));
    assert_eq!(log.append(&[entry(vec![0; 100])]).unwrap(), 1..=1, "the log goes on");
    let (appender, _writer) = start(log, Box::new(drop), Box::new(drop)).unwrap();
    let too_large = AppendError::TooLarge { bytes: 101, limit_bytes: 100 };
    assert_eq!(answer(&appender, entry(vec![0; 101])), Err(too_large));
}

#[test]
fn a_full_queue_says_busy_at_once() {
    let disk = SimDisk::new(3);
    let settings =
        Settings { max_entry_bytes: 1_000, max_queue_bytes: 3_000, ..Settings::default() };
    let (log, _) = Log::open(Arc::new(disk), Path::new(DIR), &settings).unwrap();
    let (hold, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let mut first = true;
    let on_frames = Box::new(move |_| {
        if std::mem::take(&mut first) {
            entered.send(()).unwrap();
            held.recv().unwrap();
        }
    });
    let (appender, writer) = start(log, on_frames, Box::new(|error| panic!("{error}"))).unwrap();
    answer(&appender, entry("blocks the log thread")).unwrap();
    inside.recv().unwrap();
    let waiting: Vec<_> =
        (0..2).map(|_| submit(&appender, entry(vec![0; 1_000])).unwrap()).collect();
    let busy = submit(&appender, entry(vec![0; 900])).unwrap_err();
    assert_eq!((busy.queued_bytes, busy.limit_bytes), (2_128, 3_000));
    assert_eq!((appender.queued_bytes(), appender.counters().busy), (2_128, 1));
    hold.send(()).unwrap();
    let seqs: Vec<_> = waiting.iter().map(|told| told.recv().unwrap()).collect();
    assert_eq!(seqs, [Ok(2), Ok(3)]);
    writer.stop().unwrap();
    assert_eq!(appender.queued_bytes(), 0);
}

#[test]
fn a_callback_that_panics_leaves_nobody_without_an_answer() {
    let disk = SimDisk::new(3);
    let (log, _) = open(&disk).unwrap();
    let (fatal, told) = mpsc::channel();
    let on_frames = Box::new(|_: Vec<Frame>| panic!("on purpose"));
    let (appender, writer) =
        start(log, on_frames, Box::new(move |error| fatal.send(error.code()).unwrap())).unwrap();
    assert_eq!(answer(&appender, entry("stored")), Ok(1));
    assert_eq!(told.recv_timeout(Duration::from_secs(30)).unwrap(), "E5011");
    assert!(matches!(answer(&appender, entry("late")), Err(AppendError::Failed(_))));
    assert!(writer.stop().is_err());
    assert_eq!(frames(&open(&disk).unwrap().0).len(), 1);
}

#[test]
fn a_clock_times_the_syncs() {
    let disk = SimDisk::new(3);
    let (mut log, _) = open(&disk).unwrap();
    log.set_clock(disk.clock());
    disk.set_faults(Faults { sync_takes: Duration::from_millis(200), ..Faults::default() });
    log.append(&[entry("one")]).unwrap();
    log.sync().unwrap();
    let counted = log.counters();
    let class = SYNC_BOUNDS.iter().position(|bound| bound.as_millis() == 250).unwrap();
    assert_eq!((counted.syncs, counted.sync_classes[class]), (1, 1));
    assert_eq!(
        (counted.sync_last, counted.sync_total),
        (Duration::from_millis(200), Duration::from_millis(200))
    );
    assert_eq!((counted.groups, counted.frames, counted.rows, counted.bytes), (1, 1, 1, 67));
}

#[test]
fn frames_are_released_while_the_log_is_written() {
    let disk = SimDisk::new(3);
    let (log, _) = open(&disk).unwrap();
    let (appender, writer) =
        start(log, Box::new(drop), Box::new(|error| panic!("{error}"))).unwrap();
    for _ in 0..20 {
        answer(&appender, entry(vec![1; 100])).unwrap();
    }
    assert!(writer.release(11).unwrap() > 0);
    let log = writer.stop().unwrap();
    assert!((2..=12).contains(&log.first_seq()));
    assert_eq!(log.next_seq(), 21);
}

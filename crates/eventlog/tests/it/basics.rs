//! What the log does when nothing goes wrong, on the real disk.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use clicktrail_eventlog::{
    AppendError, Done, Entry, Frame, Kind, Log, LogError, Opened, RealDisk, Settings, start,
};

pub(crate) fn entry(payload: impl Into<Vec<u8>>) -> Entry {
    Entry { kind: Kind::Events, rows: 1, received_at: 7, payload: payload.into() }
}

fn open(dir: &Path) -> (Log, Opened) {
    Log::open(Arc::new(RealDisk), dir, &Settings { segment_bytes: 400, ..Settings::default() })
        .unwrap()
}

fn frames(log: &Log, from: u64) -> Vec<Frame> {
    log.frames(from).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_was_synced_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, opened) = open(dir.path());
    assert_eq!(opened, Opened { first_seq: 1, next_seq: 1, truncated_tail: None });
    for n in 0..10_u8 {
        let dead =
            Entry { kind: Kind::DeadLetters, rows: 3, received_at: -1, payload: vec![n; 40] };
        assert_eq!(log.append(&[entry([n; 30]), dead]).unwrap().count(), 2);
        log.sync().unwrap();
    }
    let before = frames(&log, 1);
    drop(log);
    let (log, opened) = open(dir.path());
    assert_eq!(opened, Opened { first_seq: 1, next_seq: 21, truncated_tail: None });
    assert_eq!(frames(&log, 1), before);
    assert_eq!(frames(&log, 8), before[7..]);
    assert_eq!(before[19].kind, Kind::DeadLetters);
    assert_eq!((before[19].seq, before[19].rows, before[19].received_at), (20, 3, -1));
    assert_eq!(frames(&log, 21), []);
    assert!(matches!(log.frames(22), Err(LogError::OutOfRange { asked: 22, .. })));
}

#[test]
fn releasing_deletes_whole_segments_and_never_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    for n in 0..10_u8 {
        log.append(&[entry([n; 50])]).unwrap();
    }
    log.sync().unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let before = files();
    assert_eq!(log.release(1).unwrap(), 0);
    assert_eq!(log.release(2).unwrap(), 1);
    assert_eq!((files(), log.first_seq()), (before - 1, 3));
    assert!(matches!(log.frames(2), Err(LogError::OutOfRange { first_seq: 3, .. })));
    log.release(u64::MAX).unwrap();
    let kept = frames(&log, log.first_seq());
    assert!(!kept.is_empty());
    drop(log);
    let (log, opened) = open(dir.path());
    assert_eq!((opened.first_seq, opened.next_seq), (kept[0].seq, 11));
    assert_eq!(frames(&log, opened.first_seq), kept);
}

#[test]
fn one_folder_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let error = Log::open(Arc::new(RealDisk), dir.path(), &Settings::default()).unwrap_err();
    assert_eq!(error.code(), "E5001");
    drop(log);
    open(dir.path());
}

#[test]
fn many_submitters_share_syncs() {
    const SUBMITTERS: usize = 64;
    const EACH: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(Arc::new(RealDisk), dir.path(), &Settings::default()).unwrap();
    let handed = Arc::new(Mutex::new(Vec::new()));
    let sink = handed.clone();
    let on_frames = Box::new(move |frames: Vec<Frame>| sink.lock().unwrap().extend(frames));
    let (appender, writer) = start(log, on_frames, Box::new(|error| panic!("{error}"))).unwrap();
    std::thread::scope(|scope| {
        for submitter in 0..SUBMITTERS {
            let appender = appender.clone();
            scope.spawn(move || {
                let mut last = 0;
                for n in 0..EACH {
                    let (tell, told) = mpsc::channel();
                    let done: Done = Box::new(move |result| tell.send(result).unwrap());
                    appender.submit(entry(format!("{submitter}/{n}")), done).unwrap();
                    let seq = told.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
                    assert!(seq > last && appender.durable_seq() >= seq);
                    last = seq;
                }
            });
        }
    });
    let log = writer.stop().unwrap();
    let total = SUBMITTERS * EACH;
    let counted = appender.counters();
    assert_eq!((counted.frames, appender.queued_bytes()), (total as u64, 0));
    assert!(counted.syncs < counted.frames / 4, "{counted:?}");
    let stored = frames(&log, 1);
    assert_eq!(stored.len(), total);
    assert_eq!(stored, *handed.lock().unwrap());
    let (tell, told) = mpsc::channel();
    appender.submit(entry("late"), Box::new(move |result| tell.send(result).unwrap())).unwrap();
    assert_eq!(told.recv().unwrap(), Err(AppendError::Stopped));
}

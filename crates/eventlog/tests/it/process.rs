//! Two processes and one folder; a process that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use clicktrail_eventlog::{Log, LogError, RealDisk, Settings};

use crate::basics::entry;

/// Tells the test below that it is the other process, and where to work.
const FOLDER: &str = "EVENTLOG_TEST_FOLDER";

fn open(dir: &Path) -> Result<Log, LogError> {
    let settings = Settings { segment_bytes: 20_000, ..Settings::default() };
    Log::open(Arc::new(RealDisk), dir, &settings).map(|(log, _)| log)
}

/// Writes without end and prints each number that is durable. Started by the test below only.
#[test]
#[expect(clippy::print_stdout, reason = "how this process tells the other one what is durable")]
fn the_other_process() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let mut log = open(Path::new(&dir)).unwrap();
    loop {
        let next = log.next_seq();
        log.append(&[entry(next.to_string()), entry(vec![b'x'; 300])]).unwrap();
        log.sync().unwrap();
        println!("durable {}", log.durable_seq());
    }
}

#[test]
fn a_killed_process_loses_nothing_and_keeps_others_out_while_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = 0;
    for round in 1..=10 {
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::the_other_process", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(other.stdout.take().unwrap()).lines();
        let mut acked = lines.map_while(Result::ok).filter_map(|line| {
            line.strip_prefix("durable ").and_then(|number| number.parse::<u64>().ok())
        });
        durable = acked.by_ref().take(round * 7).last().unwrap();
        assert!(matches!(open(dir.path()), Err(LogError::Locked { .. })));
        other.kill().unwrap();
        other.wait().unwrap();
        durable = acked.last().unwrap_or(durable);
        let log = open(dir.path()).unwrap();
        assert!(log.next_seq() > durable);
        let stored = log.frames(1).unwrap().map(Result::unwrap);
        for (frame, seq) in stored.zip(1..) {
            assert_eq!(frame.seq, seq);
            assert!(seq % 2 == 0 || frame.payload == seq.to_string().as_bytes());
        }
    }
    assert!(durable > 0);
}

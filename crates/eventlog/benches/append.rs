//! Events per second and time to acknowledgement, run by hand:
//! `cargo bench -p clicktrail-eventlog -- [folder] [events per second] [seconds] [wait in µs]`

#![expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
#![expect(clippy::unwrap_used, reason = "a lock that was poisoned ends the measuring")]
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use clicktrail_eventlog::{Appender, Entry, Kind, Log, RealDisk, Settings, Writer, start};

/// Events in an entry, and bytes of each.
const EVENTS: u32 = 25;
const EVENT_BYTES: usize = 600;

/// Entries under way when the log is driven as fast as it goes.
const UNPACED_SUBMITTERS: u64 = 256;

/// Released after this many entries, so that the folder stays small.
const RELEASE_EACH: u64 = 20_000;

type Waits = Arc<Mutex<Vec<Duration>>>;

fn payload(entry: u64) -> Vec<u8> {
    let mut state = entry;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()[7]
    };
    (0..EVENTS as usize * EVENT_BYTES).map(|_| next()).collect()
}

/// Submits an entry, waiting while the log is busy; the wait counts.
fn submit(appender: &Appender, payload: &[u8], waits: &Waits, due: Instant) {
    loop {
        let entry =
            Entry { kind: Kind::Events, rows: EVENTS, received_at: 0, payload: payload.to_vec() };
        let waits = waits.clone();
        let done = Box::new(move |result: Result<u64, _>| {
            result.expect("the entry is stored");
            waits.lock().unwrap().push(due.elapsed());
        });
        if appender.submit(entry, done).is_ok() {
            return;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

fn settle(writer: Writer, appender: &Appender, waits: &Waits, name: &str, began: Instant) {
    writer.stop().expect("the log stops in good order");
    let took = began.elapsed().as_secs_f64();
    let mut waits = waits.lock().unwrap();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let counted = appender.counters();
    let events = waits.len() as f64 * f64::from(EVENTS);
    println!(
        "{name:>24}: {:>9.0} events/s, {:>5.1} MB/s; \
         ack p50 {:.2} p99 {:.2} p99.9 {:.2} max {:.2} ms; \
         {} groups of {:.1} entries, sync mean {:.2} ms",
        events / took,
        counted.bytes as f64 / took / 1e6,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        counted.groups,
        counted.frames as f64 / counted.groups as f64,
        counted.sync_total.as_secs_f64() * 1e3 / counted.syncs as f64,
    );
}

fn run(dir: &Path, rate: Option<u64>, seconds: u64, wait: Duration) -> Result<(), Box<dyn Error>> {
    let dir = dir.join("append-bench");
    let settings = Settings { group_wait: wait, ..Settings::default() };
    let (mut log, _) = Log::open(Arc::new(RealDisk), &dir, &settings)?;
    let began = Instant::now();
    log.set_clock(Box::new(move || began.elapsed()));
    let (appender, writer) = start(log, Box::new(drop), Box::new(|error| panic!("{error}")))?;
    let waits = Waits::default();
    let payloads: Vec<Vec<u8>> = (0..64).map(payload).collect();
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut sent = 0;
    while Instant::now() < end {
        let due = match rate {
            Some(rate) => {
                began + Duration::from_secs_f64(sent as f64 * f64::from(EVENTS) / rate as f64)
            }
            None => Instant::now(),
        };
        thread::sleep(due.saturating_duration_since(Instant::now()));
        submit(&appender, &payloads[sent as usize % payloads.len()], &waits, due);
        sent += 1;
        while rate.is_none() && sent - waits.lock().unwrap().len() as u64 >= UNPACED_SUBMITTERS {
            thread::sleep(Duration::from_micros(50));
        }
        if sent % RELEASE_EACH == 0 {
            writer.release(appender.durable_seq())?;
        }
    }
    let name = rate.map_or("unpaced".to_owned(), |rate| format!("paced at {rate}/s"));
    settle(writer, &appender, &waits, &name, began);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let number =
        |at: usize, otherwise: u64| arguments.get(at).map_or(Ok(otherwise), |it| it.parse());
    let here = std::env::temp_dir();
    let dir = arguments.first().map_or(&*here, Path::new);
    let (rate, seconds) = (number(1, 100_000)?, number(2, 10)?);
    let wait = Duration::from_micros(number(3, 0)?);
    run(dir, Some(rate / 10), seconds, wait)?;
    run(dir, Some(rate), seconds, wait)?;
    run(dir, None, seconds, wait)
}

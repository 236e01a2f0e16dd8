//! Thousands of connections that do nothing, while somebody wants to be served.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::stage::{GOOD, HIT, MP, Stage, eventually};

/// Names a number of idle connections other than [`IDLE`]: 10000 needs 15,000 file descriptors.
const VARIABLE: &str = "CLICKTRAIL_TEST_CONNECTIONS";
const IDLE: usize = 2_000;

/// Bytes that an idle connection may cost: the library's read buffer, the task, timers, and the
/// test's own end of it.
const BYTES_EACH: usize = 32 << 10;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1_024
}

/// Opens connections; `None` when the system does not allow so many.
fn crowd(stage: &Stage, count: usize) -> Option<Vec<TcpStream>> {
    let needed = u64::try_from(2 * count + 500).unwrap();
    let allowed = rlimit::increase_nofile_limit(needed).unwrap();
    // Evicted connections have one end only.
    if allowed < u64::try_from(count + count.min(4_096) + 500).unwrap() {
        eprintln!("skipped: {count} connections need more than {allowed} file descriptors");
        return None;
    }
    Some((0..count).map(|_| TcpStream::connect(stage.address).unwrap()).collect())
}

#[test]
#[allow(clippy::disallowed_methods)]
fn a_crowd_of_idle_connections_holds_up_nobody() {
    let count = std::env::var(VARIABLE).map_or(IDLE, |count| count.parse().unwrap());
    let stage = Stage::open();
    let most = 4_096;
    stage.get(HIT, &[]).ok(204);
    let before = resident();
    let Some(idle) = crowd(&stage, count) else { return };
    let expected = count.min(most) as f64;
    eventually("all are taken", || stage.metric("clicktrail_connections") >= expected - 1.0);
    let grown = resident().saturating_sub(before);
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let start = Instant::now();
        stage.post(MP, &[], GOOD).ok(204);
        slowest = slowest.max(start.elapsed());
    }
    let open = stage.metric("clicktrail_connections");
    println!(
        "{count} idle: {open} open, {} kB each, slowest of 100 requests {slowest:?}",
        grown / count / 1_024
    );
    assert!(open <= most as f64, "{open} connections");
    // Other tests of this process use memory, too.
    assert!(grown < count * BYTES_EACH + (64 << 20), "{grown} bytes");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    drop(idle);
    eventually("they are gone", || stage.metric("clicktrail_connections") < 1.5);
}

#[test]
fn the_bound_of_connections_holds_and_the_idle_make_room() {
    let stage = Stage::with(|settings| settings.bounds.connections = 10);
    let Some(idle) = crowd(&stage, 50) else { return };
    eventually("they are taken", || stage.metric("clicktrail_connections") >= 9.0);
    stage.post(MP, &[], GOOD).ok(204);
    assert!(stage.metric("clicktrail_connections") <= 10.0);
    drop(idle);
}

#[test]
fn without_an_idle_one_there_is_no_room() {
    use std::io::Write;
    let stage = Stage::with(|settings| settings.bounds.connections = 3);
    let busy: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut socket = stage.connect();
            socket.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
            socket
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let answers = stage.talk(b"");
    assert_eq!(answers[0].status, 503);
    assert_eq!(answers[0].header("retry-after"), Some("1"));
    drop(busy);
    eventually("there is room again", || {
        stage.talk(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0]
            .status
            == 200
    });
}

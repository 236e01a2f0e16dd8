//! Clients that mean harm, or are broken beyond words.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use clicktrail_server::{Bounds, Settings};

use crate::stage::{GOOD, HIT, MP, Stage, eventually, read_all};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Times short enough for a test.
fn hurried(settings: &mut Settings) {
    settings.bounds = Bounds {
        head_time: Duration::from_millis(400),
        body_time: Duration::from_millis(1_500),
        body_grace: Duration::from_millis(400),
        idle_time: Duration::from_millis(900),
        write_time: Duration::from_millis(500),
        ..Bounds::default()
    };
}

#[allow(clippy::disallowed_methods)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

#[test]
fn a_head_that_trickles_is_cut_off() {
    let stage = Stage::with(hurried);
    let mut socket = stage.connect();
    let (answers, time) = timed(|| {
        for byte in b"POST /mp/collect HTTP/1.1\r\nHost: localhost\r\nX: aaaaaaaaaaaaaaaaaaaaaaaa" {
            if socket.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        read_all(&mut socket)
    });
    // The bytes that came after the end reset the connection, and may take the answer with them.
    assert!(answers.iter().all(|answer| answer.status == 408), "{answers:?}");
    assert!(time < Duration::from_secs(3), "{time:?}");
    stage.get(HIT, &[]).ok(204);
}

#[test]
fn a_head_that_stops_is_told_so() {
    let stage = Stage::with(hurried);
    let (answers, time) = timed(|| stage.talk(b"GET /healthz HTTP/1.1\r\nHos"));
    assert_eq!(answers[0].status, 408);
    assert!(time > Duration::from_millis(300) && time < Duration::from_secs(3), "{time:?}");
    // The second request of a connection is held to the same time.
    let (answers, _) = timed(|| {
        let mut socket = stage.connect();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHos").unwrap();
        read_all(&mut socket)
    });
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 408]);
}

#[test]
fn a_body_that_trickles_or_stops_is_cut_off() {
    let stage = Stage::with(hurried);
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n";
    let (answers, time) = timed(|| stage.talk(format!("{head}{{").as_bytes()));
    answers[0].problem(408, "E6109");
    assert_eq!(answers[0].header("connection"), Some("close"));
    assert!(time < Duration::from_secs(3), "{time:?}");
    let mut socket = stage.connect();
    socket.write_all(head.as_bytes()).unwrap();
    let (answers, time) = timed(|| {
        for _ in 0..100 {
            // ~250 bytes a second, a quarter of the pace.
            if socket.write_all(b"xxxxx").is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        read_all(&mut socket)
    });
    assert!(answers.iter().all(|answer| answer.status == 408), "{answers:?}");
    assert!(time < Duration::from_secs(4), "{time:?}");
    assert_eq!(stage.metric("clicktrail_bodies_bytes"), 0.0);
}

#[test]
fn a_body_above_the_pace_still_has_an_end() {
    let stage = Stage::with(hurried);
    let mut socket = stage.connect();
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    let (answers, time) = timed(|| {
        for _ in 0..300 {
            if socket.write_all(&[b'x'; 500]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        read_all(&mut socket)
    });
    assert!(answers.iter().all(|answer| answer.status == 408), "{answers:?}");
    assert!(time > Duration::from_millis(1_300) && time < Duration::from_secs(5), "{time:?}");
}

#[test]
fn a_slow_but_honest_body_is_taken() {
    let stage = Stage::with(hurried);
    let mut socket = stage.connect();
    let head =
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ";
    let rows = "{\"event_name\":\"a\"}\n".repeat(200);
    write!(socket, "{head}{}\r\n\r\n", rows.len()).unwrap();
    for part in rows.as_bytes().chunks(400) {
        socket.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(80));
    }
    assert_eq!(read_all(&mut socket)[0].json()["accepted"], 200);
}

#[test]
fn idle_and_half_open_connections_end() {
    let stage = Stage::with(hurried);
    let mut silent = stage.connect();
    let mut served = stage.connect();
    served.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut half = stage.connect();
    half.shutdown(Shutdown::Write).unwrap();
    let (_, time) = timed(|| {
        assert_eq!(half.read(&mut [0; 1]).unwrap_or(0), 0);
        assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
        assert_eq!(read_all(&mut served)[0].status, 200);
    });
    assert!(time > Duration::from_millis(500) && time < Duration::from_secs(4), "{time:?}");
    eventually("all are gone", || stage.metric("clicktrail_connections") < 1.5);
}

#[test]
fn who_does_not_read_is_cut_off() {
    let stage = Stage::with(|settings| {
        hurried(settings);
        settings.rates.secret.burst = 1e9;
    });
    let mut socket = stage.connect();
    socket.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    // Sends requests and reads nothing, until all buffers are full and the server gives up.
    let (failed, time) =
        timed(|| (0..2_000).any(|_| socket.write_all(request.as_bytes()).is_err()));
    assert!(failed, "it was served for {time:?} without reading");
    eventually("it is gone", || stage.metric("clicktrail_connections") < 1.5);
}

#[test]
fn bodies_over_their_bound_end_the_connection() {
    let stage = Stage::open();
    // A length that is a lie is not waited for.
    let (answers, time) = timed(|| {
        stage.talk_and_end(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        )
    });
    answers[0].problem(413, "E6112");
    assert!(time < Duration::from_secs(5), "{time:?}");
    // Chunks announce nothing, so they are counted.
    let mut socket = stage.connect();
    let head = "POST /mp/collect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    for _ in 0..40 {
        if write!(socket, "1000\r\n{}\r\n", "x".repeat(0x1000)).is_err() {
            break;
        }
    }
    let _ = socket.write_all(b"0\r\n\r\n");
    read_all(&mut socket)[0].problem(413, "E6112");
    assert_eq!(stage.log.len(), 0);
    assert_eq!(stage.metric("clicktrail_bodies_bytes"), 0.0);
}

#[test]
fn gzip_bombs() {
    let stage = Stage::open();
    let packed = ["Content-Encoding: gzip"];
    let bomb = gzip(&vec![b'\n'; 50 << 20]);
    assert!(bomb.len() < 100_000);
    for path in [MP, "/v1/events", "/g/collect?v=2"] {
        stage.post(path, &packed, &bomb).problem(413, "E6112");
    }
    // Many small members are one body, too.
    stage.post("/v1/events", &packed, gzip(&vec![b' '; 100_000]).repeat(200)).problem(413, "E6112");
    // Packed twice, it is not what it says it is.
    stage.post(MP, &packed, gzip(&gzip(GOOD.as_bytes()))).ok(400);
    stage.post(MP, &packed, gzip(GOOD.as_bytes())).ok(204);
    assert_eq!(stage.metric("clicktrail_bodies_bytes"), 0.0);
}

#[test]
fn wrong_lengths() {
    let stage = Stage::with(hurried);
    // Less than announced, and then the end.
    let short =
        format!("POST {MP} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{GOOD}");
    for answer in stage.talk_and_end(short.as_bytes()) {
        answer.problem(400, "E6101");
    }
    assert_eq!(stage.log.rows(), 0);
    // More than announced: what is left is no request.
    let long = format!(
        "POST {MP} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{GOOD}",
        GOOD.len() - 9
    );
    let statuses: Vec<u16> =
        stage.talk(long.as_bytes()).iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| [400, 408].contains(status)), "{statuses:?}");
    assert_eq!(stage.log.rows(), 0);
    // None at all.
    let none = format!("POST {MP} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stage.talk(none.as_bytes())[0].problem(411, "E6111");
}

/// Requests about whose end two programs could disagree; each is refused or ends the connection,
/// and what is hidden in its body is never served.
#[test]
fn requests_that_hide_another_one() {
    let hidden = "GET /g/collect?v=2&tid=G-1&cid=1&en=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let hidden_length = hidden.len();
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden_length);
    let cases = [
        ("both lengths", format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}")),
        (
            "both, other order",
            format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "two lengths",
            format!("Content-Length: 0\r\nContent-Length: {hidden_length}\r\n\r\n{hidden}"),
        ),
        ("a list of lengths", format!("Content-Length: 0, {hidden_length}\r\n\r\n{hidden}")),
        ("signed length", format!("Content-Length: +0\r\n\r\n{hidden}")),
        ("negative length", format!("Content-Length: -1\r\n\r\n{hidden}")),
        ("hex length", format!("Content-Length: 0x0\r\n\r\n{hidden}")),
        ("empty length", format!("Content-Length: \r\n\r\n{hidden}")),
        ("length beyond 64 bits", format!("Content-Length: 18446744073709551616\r\n\r\n{hidden}")),
        ("unknown encoding", format!("Transfer-Encoding: xchunked\r\n\r\n{chunk}")),
        ("not chunked last", format!("Transfer-Encoding: chunked, identity\r\n\r\n{chunk}")),
        (
            "two encodings",
            format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n{chunk}"),
        ),
        ("space before the colon", format!("Transfer-Encoding : chunked\r\n\r\n{chunk}")),
        ("folded header", format!("X: a\r\n Transfer-Encoding: chunked\r\n\r\n{chunk}")),
        ("tab in the name", format!("Transfer\tEncoding: chunked\r\n\r\n{chunk}")),
        ("bare return", format!("X: a\rTransfer-Encoding: chunked\r\n\r\n{chunk}")),
        ("zero byte", format!("X: a\0b\r\n\r\n{hidden}")),
        (
            "chunk too large for 64 bits",
            format!("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{hidden}"),
        ),
        ("negative chunk", format!("Transfer-Encoding: chunked\r\n\r\n-1\r\n{hidden}")),
        ("no chunk size", format!("Transfer-Encoding: chunked\r\n\r\n\r\n{hidden}")),
        ("chunk size in words", format!("Transfer-Encoding: chunked\r\n\r\nzz\r\n{hidden}")),
        (
            "endless chunk extension",
            format!("Transfer-Encoding: chunked\r\n\r\n1;{}\r\n{hidden}", "a".repeat(40_000)),
        ),
        ("chunk without its end", format!("Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n{hidden}")),
        ("second host", format!("Host: evil.example\r\nContent-Length: 0\r\n\r\n{hidden}")),
    ];
    for (name, rest) in cases {
        let stage = Stage::with(hurried);
        let request = format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{rest}");
        let answers = stage.talk(request.as_bytes());
        // A refusal; where the library reads two lengths as the standard tells, nothing after it.
        let refused = answers.iter().take(1).all(|answer| [400, 411, 413].contains(&answer.status));
        assert!(refused && !answers.is_empty(), "{name}: {answers:?}");
        assert_eq!(stage.log.rows(), 0, "{name}: {answers:?}");
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
    }
}

#[test]
fn heads_that_are_malformed_or_too_large() {
    let stage = Stage::open();
    let long = "x".repeat(16_001);
    let cases = [
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two hosts", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".into(), 400),
        ("other authority", "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), 400),
        ("long line", format!("GET /healthz?{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
        ("long field", format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"), 431),
        ("many fields", format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}".into(), 400),
        ("HTTP/1.0 with chunks", "POST /mp/collect HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400),
        ("HTTP/3.7", "GET /healthz HTTP/3.7\r\nHost: localhost\r\n\r\n".into(), 400),
        ("no version", "GET /healthz\r\n\r\n".into(), 400),
        ("connect", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n".into(), 404),
    ];
    for (name, request, status) in cases {
        let answers = stage.talk_and_end(request.as_bytes());
        let told: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(told, [status], "{name}");
    }
    // More than the server ever reads: what it left unread may reset the connection, and take the
    // answer with it.
    let endless = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(50_000));
    let answers = stage.talk_and_end(endless.as_bytes());
    assert!(answers.iter().all(|answer| answer.status == 431), "{answers:?}");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert!(stage.talk(preface).is_empty(), "HTTP/2 is not spoken");
    let old = stage.talk(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(old[0].status, 200);
    let absolute =
        "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(stage.talk(absolute.as_bytes())[0].status, 200);
}

#[test]
fn one_byte_chunks_are_still_a_body() {
    let stage = Stage::open();
    let chunks: String = GOOD.chars().map(|char| format!("1;x=y\r\n{char}\r\n")).collect();
    let request = format!(
        "POST {MP} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\nTrailer: x\r\n\r\n"
    );
    assert_eq!(stage.talk(request.as_bytes())[0].status, 204);
    assert_eq!(stage.log.rows(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let stage = Stage::open();
    let post = format!(
        "POST {MP} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{GOOD}",
        GOOD.len()
    );
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = stage.talk(format!("{post}{get}{post}{last}").as_bytes());
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [204, 200, 204, 404]);
}

#[test]
fn bodies_together_are_bounded() {
    let stage = Stage::with(|settings| settings.bounds.bodies_bytes = 1_000_000);
    let mut slow = stage.connect();
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    eventually("its memory is taken", || stage.metric("clicktrail_bodies_bytes") > 1.0);
    stage.post("/v1/events", &[], " ".repeat(200_000)).problem(503, "E6115");
    stage.post(MP, &[], GOOD).ok(204);
    drop(slow);
    eventually("its memory is free", || stage.metric("clicktrail_bodies_bytes") < 1.0);
    stage.post("/v1/events", &[], " ".repeat(200_000)).problem(400, "E6101");
}

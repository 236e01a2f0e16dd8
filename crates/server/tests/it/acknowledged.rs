//! A request is answered when its events are on disk, and not before.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::stage::{GOOD, MP, Stage, eventually};

#[test]
fn not_a_byte_is_answered_before_the_disk_has() {
    let stage = Stage::open();
    *stage.log.held.lock().unwrap() = Some(Vec::new());
    let mut socket = stage.connect();
    let length = GOOD.len();
    write!(
        socket,
        "POST {MP} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{GOOD}"
    )
    .unwrap();
    eventually("the log has it", || stage.log.len() == 1);
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(socket.read(&mut [0; 1]).is_err(), "answered before the sync");
    assert!(stage.metric("clicktrail_ack_seconds_count") < 0.5);
    for (seq, done) in stage.log.held.lock().unwrap().take().unwrap() {
        done(Ok(seq));
    }
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

#[test]
fn who_left_before_the_answer_is_recognised_when_he_resends() {
    let stage = Stage::open();
    *stage.log.held.lock().unwrap() = Some(Vec::new());
    let row = "{\"event_name\":\"a\",\"event_id\":\"once\"}";
    let mut socket = stage.connect();
    write!(
        socket,
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Clicktrail-Producer: p\r\n\
        X-Clicktrail-Offset: 0\r\nContent-Length: {}\r\n\r\n{row}",
        row.len()
    )
    .unwrap();
    eventually("the log has it", || stage.log.len() == 1);
    socket.shutdown(Shutdown::Both).unwrap();
    drop(socket);
    std::thread::sleep(Duration::from_millis(100));
    for (seq, done) in stage.log.held.lock().unwrap().take().unwrap() {
        done(Ok(seq));
    }
    eventually("it is counted", || stage.metric("clicktrail_ack_seconds_count") > 0.5);
    let plain = stage.post("/v1/events", &[], row).ok(200).json();
    assert_eq!((&plain["accepted"], &plain["duplicate"]), (&0.into(), &1.into()));
    let headers = ["X-Clicktrail-Producer: p", "X-Clicktrail-Offset: 0"];
    assert_eq!(stage.post("/v1/events", &headers, row).ok(200).json()["already_exists"], true);
}

#[test]
fn requests_of_one_producer_wait_for_each_other() {
    let stage = Stage::open();
    *stage.log.held.lock().unwrap() = Some(Vec::new());
    let row = "{\"event_name\":\"a\"}";
    let send = |offset: u64| {
        let offset = format!("X-Clicktrail-Offset: {offset}");
        stage.post("/v1/events", &["X-Clicktrail-Producer: p", &offset], row)
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| send(0));
        eventually("the first is in the log", || stage.log.len() == 1);
        let second = scope.spawn(|| send(1));
        let again = scope.spawn(|| send(0));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(stage.log.len(), 1, "one at a time");
        for (seq, done) in stage.log.held.lock().unwrap().take().unwrap() {
            done(Ok(seq));
        }
        assert_eq!(first.join().unwrap().ok(200).json()["accepted"], 1);
        assert_eq!(second.join().unwrap().ok(200).json()["accepted"], 1);
        assert_eq!(again.join().unwrap().ok(200).json()["already_exists"], true);
    });
    assert_eq!(stage.log.rows(), 2);
}

#[test]
fn who_only_stopped_sending_gets_the_answer() {
    let stage = Stage::open();
    *stage.log.held.lock().unwrap() = Some(Vec::new());
    let mut socket = stage.connect();
    let length = GOOD.len();
    write!(
        socket,
        "POST {MP} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{GOOD}"
    )
    .unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    eventually("the log has it", || stage.log.len() == 1);
    std::thread::sleep(Duration::from_millis(100));
    for (seq, done) in stage.log.held.lock().unwrap().take().unwrap() {
        done(Ok(seq));
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

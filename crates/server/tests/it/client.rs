//! The client: what it sends again, what it does not, and a server that goes away in between.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clicktrail_eventlog::AppendError;
use clicktrail_server::client::{Client, ClientSettings, Position, Retry};
use clicktrail_server::{Kind, SecretHash, ServerError};

use crate::stage::{Mood, READ_SECRET, SECRET, Stage, TestLog, WRONG_SECRET, eventually};

fn client(url: &str, attempts: u32, secret: Option<&str>) -> Client {
    let longest_pause = Duration::from_millis(50);
    let retry = Retry { attempts, first_pause: Duration::from_millis(5), longest_pause };
    let secret = secret.map(str::to_owned);
    Client::new(ClientSettings { retry, secret, ..ClientSettings::new(url) }).unwrap()
}

#[test]
fn batches_status_and_rows() {
    let stage = Stage::closed();
    let writer = client(&stage.url(), 1, Some(SECRET));
    let rows = b"{\"event_name\":\"a\"}\n{}\n";
    let key = Position::Key("k1".into());
    let receipt = writer.send(rows, &key).unwrap();
    assert_eq!((receipt.accepted, receipt.duplicate, receipt.seq), (1, 0, 1));
    assert_eq!(
        (receipt.rejected[0].index, receipt.rejected[0].reason.as_str()),
        (1, "missing_event_name")
    );
    assert_eq!(writer.send(rows, &key).unwrap().duplicate, 1);
    let numbered = Position::Producer { producer: "p".into(), offset: 0 };
    assert!(!writer.send(rows, &numbered).unwrap().already_exists);
    assert!(writer.send(rows, &numbered).unwrap().already_exists);
    let receipt = writer.send(b"{}", &Position::Events).unwrap();
    assert_eq!((receipt.accepted, receipt.rejected.len()), (0, 1));

    let reader = client(&stage.url(), 1, Some(READ_SECRET));
    stage.live.status.lock().unwrap().applied_seq = 3;
    assert_eq!(reader.status().unwrap().applied_seq, 3);
    let answer = reader.query("select 1", Some(3), Some(10)).unwrap();
    assert_eq!((answer.seq, answer.rows.len(), answer.columns[0].name.as_str()), (9, 2, "n"));
}

#[test]
fn what_is_refused_is_not_sent_again() {
    let stage = Stage::closed();
    let send =
        |secret, rows: &[u8], position| client(&stage.url(), 9, secret).send(rows, &position);
    let wrong = send(Some(WRONG_SECRET), b"{}", Position::Events).unwrap_err();
    assert_eq!((wrong.code(), wrong.kind()), ("E6103", Kind::Project));
    assert!(wrong.hint().unwrap().contains("active"));
    assert!(!wrong.to_string().contains(WRONG_SECRET));
    assert_eq!(send(None, b"{}", Position::Events).unwrap_err().code(), "E6102");
    assert_eq!(send(Some(SECRET), b"\n", Position::Events).unwrap_err().code(), "E6101");
    let gap = |offset| Position::Producer { producer: "p".into(), offset };
    send(Some(SECRET), b"{}", gap(0)).unwrap();
    assert_eq!(send(Some(SECRET), b"{}", gap(7)).unwrap_err().code(), "E6110");
    let reader = client(&stage.url(), 9, Some(READ_SECRET));
    assert_eq!(reader.query("bad", None, None).unwrap_err().code(), "E3001");
    assert_eq!(reader.query("slow", None, None).unwrap_err().code(), "E4301");
    assert_eq!(stage.metric("clicktrail_connections"), 0.0, "readers need a secret");
    for url in ["https://localhost", "localhost:80", "http://user@localhost", "http://a?b"] {
        assert_eq!(Client::new(ClientSettings::new(url)).unwrap_err().code(), "E6003", "{url}");
    }
}

#[test]
fn busy_servers_are_asked_again() {
    let stage = Stage::open();
    for mood in [Mood::Busy, Mood::Broken(AppendError::Full), Mood::Broken(AppendError::Stopped)] {
        stage.log.set(mood);
        let result = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                client(&stage.url(), 100, None).send(b"{\"event_name\":\"a\"}", &Position::Events)
            });
            std::thread::sleep(Duration::from_millis(120));
            stage.log.set(Mood::Good);
            sender.join().unwrap()
        });
        assert_eq!(result.unwrap().accepted, 1);
    }
    stage.log.set(Mood::Busy);
    match client(&stage.url(), 3, None).send(b"{\"event_name\":\"a\"}", &Position::Events) {
        Err(ServerError::Unreachable { attempts: 3, reason, .. }) => {
            assert!(reason.contains("503"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_there_and_somebody_else_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let elsewhere = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 4_096]);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            .unwrap();
    });
    let client = client(&format!("http://{address}"), 2, None);
    assert_eq!(client.status().unwrap_err().code(), "E6006");
    elsewhere.join().unwrap();
    let error = client.status().unwrap_err();
    assert_eq!((error.code(), error.kind()), ("E6004", Kind::Unavailable));
    assert_eq!(client.send(b"{}", &Position::Events).unwrap_err().code(), "E6004");
}

#[test]
fn connections_are_kept() {
    let stage = Stage::open();
    let client = client(&stage.url(), 1, None);
    for _ in 0..50 {
        client.send(b"{\"event_name\":\"a\"}", &Position::Events).unwrap();
    }
    // Its own, and the one that asks.
    assert_eq!(stage.metric("clicktrail_connections"), 2.0);
}

/// A server that stops in mid-stream, with requests cut off before and after they got to disk.
#[test]
fn a_restart_in_mid_stream_loses_nothing() {
    const BATCHES: u64 = 300;
    let log = TestLog::new();
    let bind = |address: SocketAddr| {
        let log = Arc::clone(&log);
        Stage::on(log, move |settings| {
            settings.bind = address;
            settings.bounds.shutdown_time = Duration::ZERO;
            settings.access.write_secrets = vec![SecretHash::of(SECRET).unwrap()];
        })
    };
    let mut stage = bind("127.0.0.1:0".parse().unwrap());
    let (address, url) = (stage.address, stage.url());
    let sent = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let client = client(&url, 1_000, Some(SECRET));
            for number in 0..BATCHES {
                let row = format!("{{\"event_name\":\"a\",\"event_id\":\"e{number}\"}}");
                let receipt =
                    client.send(row.as_bytes(), &Position::Key(format!("k{number}"))).unwrap();
                assert_eq!(receipt.accepted + receipt.duplicate, 1);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        for quarter in 1..4 {
            eventually("it goes on", || {
                u64::from(sent.load(Ordering::Relaxed)) >= quarter * BATCHES / 5
            });
            // On disk, and never told so.
            *log.held.lock().unwrap() = Some(Vec::new());
            eventually("one is held", || !log.held.lock().unwrap().as_ref().unwrap().is_empty());
            stage.stop();
            *log.held.lock().unwrap() = None;
            std::thread::sleep(Duration::from_millis(100));
            stage = bind(address);
        }
        sender.join().unwrap();
    });
    let batches = log.batches.lock().unwrap();
    let ids: Vec<String> = batches
        .iter()
        .map(|batch| {
            let row: serde_json::Value = serde_json::from_slice(&batch.events.payload).unwrap();
            let text = row["event_params"].to_string();
            let at = text.find("\"e").unwrap();
            text[at + 1..].split('"').next().unwrap().to_owned()
        })
        .collect();
    let distinct: BTreeSet<&String> =
        ids.iter().filter(|id| id[1..].parse::<u64>().is_ok()).collect();
    assert_eq!(distinct.len() as u64, BATCHES);
    // What was sent twice has the same id twice, so that the models count it once.
    assert!(ids.len() as u64 >= BATCHES + 3, "{} batches", ids.len());
}

//! Settings that no server starts with, and how one ends.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use clicktrail_server::{Access, Parts, SecretHash, ServerError, Settings, serve};

use crate::stage::{GOOD, SECRET, Stage, TestLog, eventually};

fn refuse(change: impl FnOnce(&mut Settings)) -> ServerError {
    let stage = Stage::open();
    let mut settings = Settings { bind: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
    change(&mut settings);
    let parts = Parts::new(TestLog::new(), stage.live.clone(), stage.clock.clone());
    match stage.runtime.block_on(serve(settings, parts)) {
        Ok(server) => panic!("it started on {}", server.address()),
        Err(error) => error,
    }
}

#[test]
fn a_network_address_needs_a_secret() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:1"] {
        let error = refuse(|settings| settings.bind = address.parse().unwrap());
        assert_eq!(error.code(), "E6002", "{address}");
        assert!(error.hint().unwrap().contains("127.0.0.1"));
    }
    // A public key is no secret.
    let error = refuse(|settings| {
        settings.bind = "0.0.0.0:0".parse().unwrap();
        settings.access.write_keys = vec!["k".into()];
        settings.access.origins = vec!["https://shop.example".into()];
    });
    assert_eq!(error.code(), "E6002");
}

#[test]
fn a_network_address_with_a_secret_serves_no_reader_without_one() {
    let stage = Stage::with(|settings| {
        settings.bind = "0.0.0.0:0".parse().unwrap();
        settings.access.write_secrets = vec![SecretHash::of(SECRET).unwrap()];
    });
    let bearer = format!("Authorization: Bearer {SECRET}");
    let host = format!("Host: 127.0.0.1:{}", stage.address.port());
    stage.post("/mp/collect?measurement_id=G-1", &[&bearer, &host], GOOD).ok(204);
    for path in ["/metrics", "/api/v1/status", "/api/v1/tables/mart"] {
        stage.get(path, &[&host]).problem(403, "E6106");
        stage.get(path, &[&host, &bearer]).problem(403, "E6106");
    }
    stage.get("/healthz", &[&host]).ok(200);
    stage.get("/readyz", &[&host]).ok(200);
}

#[test]
fn senseless_settings() {
    let hash = SecretHash::of(SECRET).unwrap();
    let access = |access: Access| refuse(|settings| settings.access = access);
    let origins = || vec!["https://shop.example".to_owned()];
    for error in [
        access(Access { write_secrets: vec![hash; 3], ..Access::default() }),
        access(Access { read_secrets: vec![hash; 3], ..Access::default() }),
        access(Access { write_keys: vec!["k".into()], ..Access::default() }),
        access(Access { write_keys: vec!["a/b".into()], origins: origins(), ..Access::default() }),
        access(Access { origins: vec!["*".into()], ..Access::default() }),
        access(Access { origins: vec!["https://shop.example/".into()], ..Access::default() }),
        refuse(|settings| settings.alias_paths = vec!["x".into()]),
        refuse(|settings| settings.alias_paths = vec!["/{x}".into()]),
        refuse(|settings| settings.alias_paths = vec!["/metrics".into()]),
        refuse(|settings| settings.alias_paths = vec!["/x".into(), "/x".into()]),
        refuse(|settings| settings.bounds.connections = 0),
        refuse(|settings| settings.bounds.head_bytes = 10),
        refuse(|settings| settings.rates.prefix.per_second = 0.0),
    ] {
        assert_eq!(error.code(), "E6003", "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_port_in_use() {
    let stage = Stage::open();
    let error = refuse(|settings| settings.bind = stage.address);
    assert_eq!(error.code(), "E6001");
    assert!(error.hint().unwrap().contains("another port"));
}

#[test]
fn open_requests_end_and_new_ones_do_not_begin() {
    let mut stage = Stage::open();
    *stage.log.held.lock().unwrap() = Some(Vec::new());
    let mut idle = stage.connect();
    let mut sender = stage.connect();
    let head =
        "POST /mp/collect?measurement_id=G-1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: ";
    write!(sender, "{head}{}\r\n\r\n{GOOD}", GOOD.len()).unwrap();
    eventually("it waits for the disk", || stage.log.len() == 1);
    let (log, address) = (stage.log.clone(), stage.address);
    let disk = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        assert!(std::net::TcpStream::connect(address).is_err(), "it still takes connections");
        for (seq, done) in log.held.lock().unwrap().take().unwrap() {
            done(Ok(seq));
        }
    });
    stage.stop();
    disk.join().unwrap();
    let mut answer = String::new();
    sender.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
#[allow(clippy::disallowed_methods)]
fn a_shutdown_has_an_end() {
    let mut stage = Stage::with(|settings| {
        settings.bounds.shutdown_time = Duration::from_millis(200);
    });
    *stage.log.held.lock().unwrap() = Some(Vec::new());
    let mut sender = stage.connect();
    let head =
        "POST /mp/collect?measurement_id=G-1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: ";
    write!(sender, "{head}{}\r\n\r\n{GOOD}", GOOD.len()).unwrap();
    eventually("it waits for the disk", || stage.log.len() == 1);
    let start = Instant::now();
    stage.stop();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

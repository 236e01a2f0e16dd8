//! Neither secrets nor values of events get into the log of the program.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::stage::{GOOD, MP, READ_SECRET, SECRET, Stage, WRONG_SECRET};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn everything_is_logged_and_nothing_is_told() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .finish();
    // For all threads: the server has its own. Other tests of this process add their lines.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let stage = Stage::closed();
    let value = "value-of-a-visitor-4711";
    for secret in [SECRET, WRONG_SECRET] {
        let bearer = format!("Authorization: Bearer {secret}");
        let path = format!("{MP}&api_secret={secret}");
        let bad = format!(r#"{{"client_id":"{value}","events":[{{"name":"1{value}"}}]}}"#);
        stage.post(&path, &[], GOOD);
        stage.post(&path, &[], &bad);
        stage.post(&path, &[], format!("{{{value}"));
        stage.post("/v1/events", &[&bearer], format!("{{\"event_name\":\"{value}\"}}"));
        stage.post("/v1/events", &[&bearer], format!("{{\"event_name\":{value}}}"));
        stage.get(&format!("/api/v1/{secret}"), &[]);
        stage.get(&format!("/{secret}/g/collect?api_secret={secret}"), &[]);
        stage.send("GET", &format!("/mp/collect?api_secret={secret}"), &[], b"");
        stage.talk(format!("GET /{secret} HTTP/1.1\r\nbad header {secret}\r\n\r\n").as_bytes());
    }
    let reader = format!("Authorization: Bearer {READ_SECRET}");
    let json = "Content-Type: application/json";
    let query = format!("{{\"sql\":\"select '{value}'\",\"{value}\":1}}");
    stage.post("/api/v1/query", &[&reader, json], &query).problem(400, "E6101");
    stage
        .post("/api/v1/query", &[&reader, json], format!("{{\"sql\":\"select '{value}'\"}}"))
        .ok(200);
    let marked = stage.get("/healthz", &[]).header("x-request-id").unwrap().to_owned();
    let settings = format!("{:?}", {
        let mut settings = clicktrail_server::Settings::default();
        crate::stage::close(&mut settings);
        settings
    });
    let client = clicktrail_server::client::ClientSettings {
        secret: Some(SECRET.into()),
        ..clicktrail_server::client::ClientSettings::new("http://localhost")
    };
    let debug = format!("{client:?} {:?}", clicktrail_server::client::Client::new(client.clone()));

    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains(&marked), "no line for a request: {log}");
    assert!(log.contains("E6103") && log.contains("/mp/collect"), "{log}");
    for secret in [SECRET, WRONG_SECRET, READ_SECRET, "first-write", value] {
        for (name, text) in [("log", &log), ("settings", &settings), ("client", &debug)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "`{secret}` is in the {name}");
        }
    }
}

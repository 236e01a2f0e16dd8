//! A server with a log, tables and a clock that a test controls, and a client that speaks raw
//! bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clicktrail_eventlog::{AppendError, Busy, Done};
use clicktrail_server::{
    Ask, Batch, Clock, Column, Live, LiveStatus, Log, LogFigures, Parts, QueryAnswer, QueryFailure,
    QueryFailureKind, QueryRequest, SecretHash, Server, Settings, serve,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) const SECRET: &str = "first-write-secret-6d1f";
pub(crate) const NEXT_SECRET: &str = "second-write-secret-93ac";
pub(crate) const READ_SECRET: &str = "some-read-secret-71e0";
pub(crate) const WRONG_SECRET: &str = "never-a-valid-secret-0000";
pub(crate) const WRITE_KEY: &str = "G-TEST123";
pub(crate) const SHOP: &str = "https://shop.example";

/// A Measurement Protocol request with one good event.
pub(crate) const GOOD: &str = r#"{"client_id":"1.2","events":[{"name":"page_view"}]}"#;
pub(crate) const MP: &str = "/mp/collect?measurement_id=G-TEST123";
pub(crate) const HIT: &str =
    "/g/collect?v=2&tid=G-TEST123&cid=1.2&en=page_view&dl=https%3A%2F%2Fshop.example%2F";

/// How the log answers.
#[derive(Clone)]
pub(crate) enum Mood {
    Good,
    Busy,
    Broken(AppendError),
    /// Takes batches and never says what became of them.
    Silent,
}

pub(crate) struct TestLog {
    pub(crate) mood: Mutex<Mood>,
    pub(crate) batches: Mutex<Vec<Batch>>,
    /// Batches whose senders are not told yet, while `hold` is set.
    pub(crate) held: Mutex<Option<Vec<(u64, Done)>>>,
}

impl TestLog {
    pub(crate) fn new() -> Arc<Self> {
        let (mood, batches) = (Mutex::new(Mood::Good), Mutex::default());
        Arc::new(Self { mood, batches, held: Mutex::default() })
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn len(&self) -> usize {
        self.batches.lock().unwrap().len()
    }

    pub(crate) fn rows(&self) -> u32 {
        self.batches.lock().unwrap().iter().map(|batch| batch.events.rows).sum()
    }

    pub(crate) fn last(&self) -> Batch {
        self.batches.lock().unwrap().last().unwrap().clone()
    }
}

impl Log for TestLog {
    fn append(&self, batch: Batch, done: Done) -> Result<(), Busy> {
        match self.mood.lock().unwrap().clone() {
            Mood::Busy => return Err(Busy { queued_bytes: 1, limit_bytes: 1 }),
            Mood::Broken(error) => done(Err(error)),
            Mood::Good | Mood::Silent if batch.events.rows + batch.dead_letters.rows == 0 => {
                panic!("an empty batch")
            }
            mood => {
                let mut batches = self.batches.lock().unwrap();
                batches.push(batch);
                let seq = batches.len() as u64;
                drop(batches);
                match (mood, self.held.lock().unwrap().as_mut()) {
                    (Mood::Silent, _) => drop(done),
                    (_, Some(held)) => held.push((seq, done)),
                    (_, None) => done(Ok(seq)),
                }
            }
        }
        Ok(())
    }

    fn figures(&self) -> LogFigures {
        LogFigures { durable_seq: self.len() as u64, queued_bytes: 7, ..LogFigures::default() }
    }
}

pub(crate) struct TestLive {
    pub(crate) status: Mutex<LiveStatus>,
    pub(crate) slow: Mutex<Duration>,
    pub(crate) asked: Mutex<Vec<QueryRequest>>,
}

impl Live for TestLive {
    fn status(&self) -> LiveStatus {
        self.status.lock().unwrap().clone()
    }

    fn query(&self, request: &QueryRequest) -> Result<QueryAnswer, QueryFailure> {
        self.asked.lock().unwrap().push(request.clone());
        let slow = *self.slow.lock().unwrap();
        std::thread::sleep(slow);
        let failure = |code: &str, kind| {
            let (message, hint) = ("it failed".to_owned(), Some("do it well".to_owned()));
            Err(QueryFailure { code: code.to_owned(), message, hint, kind })
        };
        match &request.ask {
            Ask::Sql(sql) if sql == "bad" => failure("E3001", QueryFailureKind::Query),
            Ask::Sql(sql) if sql == "slow" => failure("E4301", QueryFailureKind::Timeout),
            Ask::Sql(sql) if sql == "early" => failure("E4302", QueryFailureKind::Unavailable),
            Ask::Sql(sql) if sql == "bug" => failure("E4303", QueryFailureKind::Internal),
            Ask::Sql(sql) if sql == "panic" => panic!("as asked"),
            Ask::Table(name) if name != "mart" => failure("E4304", QueryFailureKind::NotFound),
            _ => Ok(QueryAnswer {
                seq: 9,
                columns: vec![Column { name: "n".into(), data_type: "BIGINT".into() }],
                rows: vec![json!({ "n": 1 }), json!({ "n": 2 })],
                truncated: false,
            }),
        }
    }
}

/// Stands still unless it is moved.
pub(crate) struct TestClock(pub(crate) AtomicU64);

impl Clock for TestClock {
    fn now_micros(&self) -> i64 {
        1_795_000_000_000_000 + i64::try_from(self.0.load(Ordering::Relaxed) * 1_000).unwrap()
    }

    fn seconds(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1_000.0
    }
}

/// A server and everything around it.
pub(crate) struct Stage {
    pub(crate) log: Arc<TestLog>,
    pub(crate) live: Arc<TestLive>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) server: Option<Server>,
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
}

impl Stage {
    /// An open server on a free port.
    pub(crate) fn open() -> Self {
        Self::with(|_| {})
    }

    /// A server with two write secrets, a read secret and a shop's pages.
    pub(crate) fn closed() -> Self {
        Self::with(close)
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(TestLog::new(), change)
    }

    pub(crate) fn on(log: Arc<TestLog>, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { bind: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
        change(&mut settings);
        let live = Arc::new(TestLive {
            status: Mutex::new(LiveStatus { ready: true, ..LiveStatus::default() }),
            slow: Mutex::default(),
            asked: Mutex::default(),
        });
        let clock = Arc::new(TestClock(AtomicU64::new(0)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let parts = Parts::new(log.clone(), live.clone(), clock.clone());
        let server = runtime.block_on(serve(settings, parts)).unwrap();
        let address = server.address();
        Self { log, live, clock, server: Some(server), runtime, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Moves the clock.
    pub(crate) fn pass(&self, milliseconds: u64) {
        self.clock.0.fetch_add(milliseconds, Ordering::Relaxed);
    }

    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }

    /// A request with the usual headers and these.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request += &format!("Host: {}\r\n", self.address);
        }
        let counted = headers.iter().any(|header| {
            header.starts_with("Content-Length") || header.starts_with("Transfer-Encoding")
        });
        if !counted && method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        for header in headers {
            request += &format!("{header}\r\n");
        }
        let bytes = [request.as_bytes(), b"\r\n", body].concat();
        let answers = self.talk(&bytes);
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.into_iter().next().unwrap()
    }

    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.send("GET", path, headers, b"")
    }

    pub(crate) fn post(&self, path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", path, headers, body.as_ref())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        socket
    }

    /// Sends bytes as they are, and gives all answers until the server closes.
    pub(crate) fn talk(&self, bytes: &[u8]) -> Vec<Answer> {
        let mut socket = self.connect();
        // A server that answers early may have closed already.
        let _ = socket.write_all(bytes);
        read_all(&mut socket)
    }

    /// The same, and then says that nothing more comes.
    pub(crate) fn talk_and_end(&self, bytes: &[u8]) -> Vec<Answer> {
        let mut socket = self.connect();
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(Shutdown::Write);
        read_all(&mut socket)
    }

    /// A metric's value.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics", &[]).body;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A test that failed has requests under way.
        self.server.take();
    }
}

/// Secrets and a shop.
pub(crate) fn close(settings: &mut Settings) {
    let hash = |secret| SecretHash::of(secret).unwrap();
    settings.access.write_secrets = vec![hash(SECRET), hash(NEXT_SECRET)];
    settings.access.read_secrets = vec![hash(READ_SECRET)];
    settings.access.write_keys = vec![WRITE_KEY.to_owned()];
    settings.access.origins = vec![SHOP.to_owned()];
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts a problem's status, code and form.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!((&json["status"], &json["code"]), (&json!(status), &json!(code)), "{self:?}");
        for member in ["type", "title", "detail", "docs"] {
            assert!(json[member].is_string(), "no {member}: {self:?}");
        }
        json
    }

    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// Reads until the server closes; a reset counts as closing.
pub(crate) fn read_all(socket: &mut TcpStream) -> Vec<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8_192];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    split(&String::from_utf8(bytes).unwrap())
}

/// Cuts a conversation into answers. All of ours have a length.
fn split(text: &str) -> Vec<Answer> {
    let mut rest = text;
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        let status = head.split(' ').nth(1).unwrap_or_default().parse().unwrap();
        let mut answer = Answer { status, head: head.to_owned(), body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        // An answer to HEAD has the length of what it does not bring.
        let length = length.min(after.len());
        answer.body = after[..length].to_owned();
        rest = &after[length..];
        if status != 100 {
            answers.push(answer);
        }
    }
    answers
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

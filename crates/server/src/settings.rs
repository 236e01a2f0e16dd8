//! What a server is told to do. Every default stands here, once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

use crate::error::{Result, ServerError};
use crate::origin::Origin;
use crate::secret::{ACTIVE_SECRETS, SecretHash};

/// Port when none is set.
pub const PORT_DEFAULT: u16 = 8686;

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen. Port 0 takes any free one.
    pub bind: SocketAddr,
    /// Who may write and read.
    pub access: Access,
    /// Sizes, counts and times.
    pub bounds: Bounds,
    /// Events per second.
    pub rates: Rates,
    /// Further paths that take what `/g/collect` takes, as ad blockers know that one.
    pub alias_paths: Vec<String>,
    /// Whether a proxy in front appends the client's address to `X-Forwarded-For`. Without a proxy
    /// anybody could write anything into that header.
    pub behind_proxy: bool,
    /// The property's time zone, which decides the date of an event.
    pub time_zone: Tz,
    /// Folder to read the dashboard's files from instead of the binary, for who edits them.
    pub web_dir: Option<PathBuf>,
    /// Whether the server only shows tables: the routes that take events say so then.
    pub read_only: bool,
    /// Measurement id → the stream id that the export has for it. An id that is not listed is its
    /// own stream id.
    pub streams: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)),
            access: Access::default(),
            bounds: Bounds::default(),
            rates: Rates::default(),
            alias_paths: Vec::new(),
            behind_proxy: false,
            time_zone: Tz::UTC,
            web_dir: None,
            read_only: false,
            streams: BTreeMap::new(),
        }
    }
}

/// Who may write and read.
///
/// On a loopback address with nothing set, every process of the machine may do both; web pages may
/// not, see the README.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Secrets of senders, `api_secret` or Bearer; at most two at a time.
    pub write_secrets: Vec<SecretHash>,
    /// Secrets of readers, Bearer; at most two at a time. Without one, only loopback addresses
    /// serve `/api` and `/metrics`.
    pub read_secrets: Vec<SecretHash>,
    /// Public keys for browsers, such as a measurement id: worth nothing without a listed origin.
    pub write_keys: Vec<String>,
    /// Origins whose pages may send events, such as `https://shop.example`.
    pub origins: Vec<String>,
    /// Whether browsers may send cookies along.
    pub allow_credentials: bool,
    /// Names by which a loopback server may be called, besides `localhost` and its addresses.
    pub hosts: Vec<String>,
}

/// Sizes, counts and times that no client can exceed.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Bytes of a Measurement Protocol body; Google's own limit.
    pub measurement_protocol_bytes: usize,
    /// Bytes of a `/g/collect` body; ~16 kB are seen in the wild.
    pub gtag_bytes: usize,
    /// Bytes of a body of `/v1/events`.
    pub rows_bytes: usize,
    /// Rows of a body of `/v1/events`.
    pub rows: usize,
    /// Bytes of a body of `/api/v1/query`.
    pub query_bytes: usize,
    /// How many times its size a compressed body may grow to, from 64 KiB up.
    pub expansion: usize,
    /// Bytes of the request line, and of all header fields together.
    pub head_bytes: usize,
    /// Bytes of all bodies that are held at one time.
    pub bodies_bytes: usize,
    /// Time for a request's head, from its first byte.
    pub head_time: Duration,
    /// Time for a request's body.
    pub body_time: Duration,
    /// From now on a body must have come at `body_pace` bytes per second on average.
    pub body_grace: Duration,
    /// Bytes per second of a body.
    pub body_pace: usize,
    /// Time without a request until a connection is closed.
    pub idle_time: Duration,
    /// Time in which a client must take some bytes of an answer.
    pub write_time: Duration,
    /// Connections at one time. The one idle for longest makes room for a new one.
    pub connections: usize,
    /// Time for a batch to get to disk; then the answer is 503, and the sender sends it again.
    pub ack_time: Duration,
    /// Time for a query, waiting for a sequence number included.
    pub query_time: Duration,
    /// Queries at one time.
    pub queries: usize,
    /// Rows of an answer when the query says nothing.
    pub answer_rows_default: usize,
    /// Rows of an answer.
    pub answer_rows: usize,
    /// Lag of the tables beyond which `/readyz` says no.
    pub ready_lag: Duration,
    /// Time for open requests to end when the server is stopped.
    pub shutdown_time: Duration,
    /// Event ids remembered to tell senders of duplicates, ~40 bytes each.
    pub recent_ids: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            measurement_protocol_bytes: 130_000,
            gtag_bytes: 130_000,
            rows_bytes: 8_000_000,
            rows: 10_000,
            query_bytes: 64_000,
            expansion: 20,
            head_bytes: 16_000,
            bodies_bytes: 256_000_000,
            head_time: Duration::from_secs(5),
            body_time: Duration::from_secs(10),
            body_grace: Duration::from_secs(3),
            body_pace: 1_000,
            idle_time: Duration::from_secs(75),
            write_time: Duration::from_secs(30),
            connections: 4_096,
            ack_time: Duration::from_secs(30),
            query_time: Duration::from_secs(30),
            queries: 8,
            answer_rows_default: 1_000,
            answer_rows: 100_000,
            ready_lag: Duration::from_secs(5),
            shutdown_time: Duration::from_secs(10),
            recent_ids: 500_000,
        }
    }
}

/// A token bucket: so many events per second for ever, so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Events per second.
    pub per_second: f64,
    /// Events that may come at once after a pause.
    pub burst: f64,
}

/// Events per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// For each write secret, and for all callers of an open server together.
    pub secret: Rate,
    /// For each public write key.
    pub write_key: Rate,
    /// For each IP prefix (IPv4 /24, IPv6 /56) that comes without a secret.
    pub prefix: Rate,
    /// Bytes of refused events that are kept, for all senders together. Beyond it their reasons are
    /// kept, not their bytes.
    pub dead_letter_bytes: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            secret: Rate { per_second: 200_000.0, burst: 400_000.0 },
            write_key: Rate { per_second: 20_000.0, burst: 40_000.0 },
            prefix: Rate { per_second: 200.0, burst: 2_000.0 },
            dead_letter_bytes: Rate { per_second: 1_000_000.0, burst: 64_000_000.0 },
        }
    }
}

impl Settings {
    /// Refuses what makes no sense or would leave the server unprotected.
    pub(crate) fn check(&self) -> Result<()> {
        let access = &self.access;
        if !self.bind.ip().is_loopback() && access.write_secrets.is_empty() {
            return Err(ServerError::Unprotected { address: self.bind });
        }
        if access.write_secrets.len().max(access.read_secrets.len()) > ACTIVE_SECRETS {
            return setting(
                format!("more than {ACTIVE_SECRETS} secrets of one kind are active"),
                "keep the one in use and its successor",
            );
        }
        if !access.write_keys.is_empty() && access.origins.is_empty() {
            return setting(
                "write keys are set, but no origins",
                "list the sites that send events",
            );
        }
        for key in &access.write_keys {
            if key.is_empty()
                || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                return setting(
                    format!("write key `{key}` can't stand in a path"),
                    "use letters, digits and hyphens, such as a measurement id",
                );
            }
        }
        for origin in &access.origins {
            if Origin::parse(origin).is_none() {
                return setting(
                    format!("`{origin}` is not an origin"),
                    "write scheme and host, and the port if it has one: https://shop.example",
                );
            }
        }
        self.check_paths()?;
        self.check_bounds()
    }

    fn check_paths(&self) -> Result<()> {
        let taken = |path: &str| {
            let rooms = ["/mp/", "/debug/", "/g/", "/v1/", "/api/", "/_/"];
            let paths = ["/healthz", "/readyz", "/metrics"];
            rooms.iter().any(|room| path.starts_with(room)) || paths.contains(&path)
        };
        let mut seen = BTreeSet::new();
        for path in &self.alias_paths {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
            if path.len() < 2 || !path.starts_with('/') || !path.bytes().all(plain) {
                return setting(
                    format!("`{path}` can't be an alias path"),
                    "start it with a slash; letters, digits, and - _ . / may follow",
                );
            }
            if taken(path) || !seen.insert(path) {
                return setting(format!("alias path `{path}` is taken"), "choose another one");
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<()> {
        let bounds = &self.bounds;
        let counts = [
            ("connections", bounds.connections),
            ("queries", bounds.queries),
            ("answer_rows", bounds.answer_rows),
            ("recent_ids", bounds.recent_ids),
            ("expansion", bounds.expansion),
            ("body_pace", bounds.body_pace),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return setting(
                format!("`{name}` is 0"),
                "a server with this bound could serve nobody",
            );
        }
        // The HTTP library needs a buffer of 8 KiB at least, and it holds request line and fields.
        if bounds.head_bytes < 4_096 {
            return setting("`head_bytes` is below 4096", "browsers send heads of up to 16 kB");
        }
        let Rates { secret, write_key, prefix, dead_letter_bytes } = self.rates;
        let rates = [secret, write_key, prefix, dead_letter_bytes];
        let usable = |number: f64| number.is_finite() && number > 0.0;
        if !rates.iter().all(|rate| usable(rate.per_second) && usable(rate.burst)) {
            return setting("a rate is not above 0", "set events per second and a burst");
        }
        Ok(())
    }
}

fn setting<T>(message: impl Into<String>, hint: &'static str) -> Result<T> {
    Err(ServerError::Setting { message: message.into(), hint })
}

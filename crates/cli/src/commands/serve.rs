//! `serve`: the collector, the live tables and their API, in one process.

mod adapter;
mod copies;
mod dashboard;
mod reading;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::builder::NonEmptyStringValueParser;
use clicktrail_eventlog::{Appender, Log, RealDisk, Writer};
use clicktrail_pipeline::{Clock, FollowSettings, Inlet, Live, PipelineError, Silent};
use clicktrail_server::{Access, Feed, PORT_DEFAULT, Parts, ProducerMark, SecretHash, Settings};
use serde_json::json;

use crate::args::ProjectArgs;
use crate::failure::{INTERRUPT_IS_HANDLED, Outcome, Usage};
use crate::logging;
use crate::session::Session;
use crate::settings;

pub(super) use adapter::Ends;
use adapter::Followed;
use dashboard::{Pages, Progress};

/// Flags of `serve`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; any other than this machine's own needs a write secret
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        env = "CLICKTRAIL_BIND",
        hide_env_values = true
    )]
    pub(super) bind: IpAddr,
    /// Port; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = PORT_DEFAULT, env = "CLICKTRAIL_PORT", hide_env_values = true)]
    pub(super) port: u16,
    /// Who may send events.
    #[command(flatten)]
    access: AccessArgs,
    /// Further path that takes what /g/collect takes; ad blockers know that one
    #[arg(long, value_name = "PATH")]
    alias_path: Vec<String>,
    /// A proxy in front tells the client's address in X-Forwarded-For
    #[arg(long)]
    behind_proxy: bool,
    /// Seconds after which events move from the log into the table events_stream
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    store_every: u64,
    /// Seconds after which the warehouse's tables are built from what is stored, for other programs
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) publish_every: u64,
    /// Only show the tables of the last build: take no events, keep none in memory, and let other processes build
    #[arg(long)]
    read_only: bool,
    /// What is copied from BigQuery.
    #[command(flatten)]
    copies: copies::CopyArgs,
    /// Folder of the dashboard's files, for who edits them
    #[arg(long, value_name = "DIR", env = "CLICKTRAIL_WEB_DIR", hide = true)]
    web_dir: Option<PathBuf>,
    /// Which project.
    #[command(flatten)]
    pub(super) project: ProjectArgs,
}

/// Who may write and read.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Access")]
struct AccessArgs {
    /// Secret of senders (api_secret, or Bearer); a second one may be active for rotation
    #[arg(long, value_name = "SECRET", env = "CLICKTRAIL_WRITE_SECRET", hide_env_values = true,
        value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    write_secret: Vec<String>,
    /// Secret of readers (Bearer), needed for the API on other addresses than this machine's own
    #[arg(long, value_name = "SECRET", env = "CLICKTRAIL_READ_SECRET", hide_env_values = true,
        value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    read_secret: Vec<String>,
    /// Public key that browsers send, such as the measurement id G-…
    #[arg(long, value_name = "KEY")]
    write_key: Vec<String>,
    /// Origin whose pages may send events, such as https://shop.example
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// A project that can't be built or can't follow a stream, a damaged log, an address in use.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    if copies::in_bigquery(args, session)? || args.read_only {
        return reading::run(args, session);
    }
    let (ends, ended) = mpsc::channel();
    wait_for_signals(ends.clone())?;
    serve_once(args, session, (&ends, &ended), &Plain)?;
    Ok(Outcome::Done)
}

/// What happens around a server.
pub(super) trait Around {
    /// Called when the address answers; tables come later.
    fn listening(&self, session: &Session, address: SocketAddr);

    /// Called when the tables are live.
    fn ready(&self, session: &Session, address: SocketAddr, live: &Arc<Live>);

    /// Whether the server stays up when the tables can't be built, so that its pages say why.
    fn outlasts(&self, session: &Session, error: &anyhow::Error) -> bool;
}

struct Plain;

impl Around for Plain {
    fn listening(&self, session: &Session, address: SocketAddr) {
        let text = format!("listening on http://{address}; building the tables");
        say(session, "listening", &text, address);
    }

    fn ready(&self, session: &Session, address: SocketAddr, live: &Arc<Live>) {
        say(session, "ready", &format!("ready: {}", rows_told(live)), address);
    }

    fn outlasts(&self, _session: &Session, _error: &anyhow::Error) -> bool {
        false
    }
}

/// Serves until something ends it; says what. The warehouse is free again then.
///
/// # Errors
/// As [`run`].
pub(super) fn serve_once(
    args: &Args,
    session: &Session,
    wires: (&mpsc::Sender<Ends>, &mpsc::Receiver<Ends>),
    around: &dyn Around,
) -> Result<Ends> {
    /// Data tests beside the server, which hold the tables, take seconds.
    const PATIENCE: Duration = Duration::from_secs(60);
    const STEP: Duration = Duration::from_millis(10);
    let settings = settings::settings(&args.project, false, session)?;
    logging::start(&settings.load.project_dir, &session.terminal);
    let clock = Arc::clone(&session.clock) as Arc<dyn Clock>;
    let live = Arc::new(Live::open(settings, clock)?);
    let tables = Arc::downgrade(&live);
    let end = serve_tables(args, session, live, wires, around)?;
    // Who starts anew needs the warehouse's lock, which goes with the last one who reads the tables.
    let start = session.clock.seconds();
    while matches!(end, Ends::Rebuild)
        && tables.strong_count() > 0
        && session.clock.seconds() - start < PATIENCE.as_secs_f64()
    {
        std::thread::sleep(STEP);
    }
    Ok(end)
}

fn serve_tables(
    args: &Args,
    session: &Session,
    live: Arc<Live>,
    (ends, ended): (&mpsc::Sender<Ends>, &mpsc::Receiver<Ends>),
    around: &dyn Around,
) -> Result<Ends> {
    let clock = Arc::clone(&session.clock) as Arc<dyn Clock>;
    let log = open_log(&live, &clock, session)?;
    // Opened before the log thread starts: what is in the log already goes the way of recovery.
    let old = log.frames(live.status().stored_seq + 1).map_err(PipelineError::from)?;
    let inlet = Inlet::new(Arc::clone(&live), Arc::clone(&clock), args.follow());
    let (appender, writer) = start_log(log, &inlet, ends.clone())?;
    // Before anybody is answered: how far senders' own numbering is stands in these frames, too.
    live.recover(old)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    let followed = Arc::new(Followed::new(Arc::clone(&live), inlet.clone(), appender.clone()));
    let server_clock: Arc<dyn clicktrail_server::Clock> = Arc::new(adapter::ServerClock(clock));
    let feed = Arc::new(Feed::new(Arc::clone(&server_clock)));
    let progress = Arc::new(Progress::new(Arc::clone(&session.clock)));
    let pages = Pages::new(Arc::clone(&live), Arc::clone(&followed), Arc::clone(&progress));
    let parts = Parts {
        log: Arc::new(appender),
        live: Arc::clone(&followed) as _,
        clock: server_clock,
        producers: producers(&live)?,
        dashboard: Some(Arc::new(pages)),
        feed: Arc::clone(&feed),
    };
    let server = runtime
        .block_on(clicktrail_server::serve(server_settings(args, live.time_zone())?, parts))
        .map_err(Usage::from)?;
    let address = server.address();
    around.listening(session, address);

    // Events are taken from here on; tables come when they are built.
    followed.set_phase("building");
    let started = live.start(progress.as_ref()).map_err(anyhow::Error::from);
    let writer = Arc::new(Mutex::new(Some(writer)));
    let mut follower = None;
    let mut failed = None;
    match started {
        Ok(()) => {
            for (model, why) in &live.status().off {
                tracing::info!(model, why, "not live");
            }
            dashboard::tell(&live, &feed);
            follower = Some(inlet.start(releasing(Arc::clone(&writer))));
            progress.end();
            followed.set_phase("live");
            feed.nudge();
            test_aside(&live, &feed);
            around.ready(session, address, &live);
        }
        Err(error) if around.outlasts(session, &error) => {
            let text = format!("{error:#}");
            progress.fail(&text);
            followed.set_phase(&format!("the build failed: {text}"));
            feed.nudge();
        }
        Err(error) => failed = Some(error),
    }

    let end = match &failed {
        Some(_) => Ends::Asked,
        None => ended.recv().unwrap_or(Ends::Asked),
    };
    if failed.is_none() && !matches!(end, Ends::Rebuild) {
        session.note("stopping: open requests end, events are stored");
    }
    runtime.block_on(server.shutdown());
    let stopped = unlocked(&writer).take().map(Writer::stop);
    let last = followed.durable_seq();
    if let Some(follower) = follower {
        follower.stop();
        let stored = live.status().stored_seq;
        if stored < last {
            session.note(&format!(
                "frames {} to {last} stay in the log, as they could not be stored; the next start stores them",
                stored + 1
            ));
        }
    }
    match (failed, end, stopped) {
        (Some(error), _, _) => Err(error),
        (_, Ends::Fatal(error), _) | (_, _, Some(Err(error))) => {
            Err(PipelineError::from(error).into())
        }
        (_, end, _) => Ok(end),
    }
}

/// Tests run beside the server, so that Health can tell of them.
fn test_aside(live: &Arc<Live>, feed: &Arc<Feed>) {
    let (live, feed) = (Arc::downgrade(live), Arc::clone(feed));
    std::thread::spawn(move || {
        let Some(live) = live.upgrade() else { return };
        match live.test(&Silent) {
            Ok(()) => feed.nudge(),
            Err(error) => tracing::warn!(code = error.code(), %error, "tests could not run"),
        }
    });
}

impl Args {
    /// A secret that senders of this process can use.
    pub(super) fn first_write_secret(&self) -> Option<String> {
        self.access.write_secret.first().cloned()
    }

    /// Whether only tables are to be shown.
    pub(super) fn only_shows(&self) -> bool {
        self.read_only || self.copies.are_given()
    }

    fn follow(&self) -> FollowSettings {
        FollowSettings {
            store_every: Duration::from_secs(self.store_every),
            publish_every: Duration::from_secs(self.publish_every),
            ..FollowSettings::default()
        }
    }
}

/// The project's log, with the session's clock; tells of a torn end.
fn open_log(live: &Live, clock: &Arc<dyn Clock>, session: &Session) -> Result<Log> {
    let (mut log, opened) = Log::open(Arc::new(RealDisk), &live.log_dir(), &Default::default())
        .map_err(PipelineError::from)?;
    let ticks = Arc::clone(clock);
    log.set_clock(Box::new(move || Duration::from_secs_f64(ticks.seconds())));
    if let Some(tail) = &opened.truncated_tail {
        session.note(&format!(
            "the log ended in a frame that was never acknowledged; {} bytes of {} were dropped",
            tail.bytes,
            tail.file.display()
        ));
    }
    Ok(log)
}

/// The log's own thread: durable frames go on to the live tables, a failure ends the server.
fn start_log(log: Log, inlet: &Inlet, ends: mpsc::Sender<Ends>) -> Result<(Appender, Writer)> {
    let taken = inlet.clone();
    Ok(clicktrail_eventlog::start(
        log,
        Box::new(move |frames| taken.push(frames)),
        Box::new(move |error| {
            let _ = ends.send(Ends::Fatal(error));
        }),
    )
    .map_err(PipelineError::from)?)
}

/// Frames that are stored leave the log, while its thread runs.
fn releasing(writer: Arc<Mutex<Option<Writer>>>) -> Box<dyn Fn(u64) + Send> {
    Box::new(move |seq| {
        if let Some(writer) = unlocked(&writer).as_ref()
            && let Err(error) = writer.release(seq)
        {
            tracing::warn!(%error, "the log could not drop frames that are stored");
        }
    })
}

fn unlocked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells where and when; programs read it as an event.
pub(super) fn say(session: &Session, event: &str, text: &str, address: std::net::SocketAddr) {
    if session.terminal.json_log {
        session.event(event, json!({ "address": address.to_string() }));
    } else {
        session.note(text);
    }
}

pub(super) fn rows_told(live: &Live) -> String {
    let rows = live.status().rows;
    let events = rows.get("events").copied().unwrap_or(0);
    format!("{events} events, {} follow the stream", listed(&rows))
}

fn listed(rows: &BTreeMap<String, u64>) -> String {
    let rows = |name: &str| rows.get(name).copied().unwrap_or(0);
    format!("{} sessions, {} credits", rows("int_sessions"), rows("fct_credits"))
}

fn producers(live: &Live) -> Result<Vec<ProducerMark>> {
    Ok(live.producers()?.iter().filter_map(ProducerMark::from_json).collect())
}

fn server_settings(args: &Args, time_zone: chrono_tz::Tz) -> Result<Settings> {
    let hashes = |secrets: &[String]| -> Result<Vec<SecretHash>> {
        secrets
            .iter()
            .map(|secret| {
                SecretHash::of(secret).ok_or_else(|| {
                    let hint = "for example: openssl rand -hex 16";
                    let few = clicktrail_server::SECRET_CHARS_MIN;
                    anyhow!(
                        Usage::new(format!("a secret has fewer than {few} characters")).hint(hint)
                    )
                })
            })
            .collect()
    };
    Ok(Settings {
        bind: (args.bind, args.port).into(),
        access: Access {
            write_secrets: hashes(&args.access.write_secret)?,
            read_secrets: hashes(&args.access.read_secret)?,
            write_keys: args.access.write_key.clone(),
            origins: args.access.origin.clone(),
            ..Access::default()
        },
        alias_paths: args.alias_path.clone(),
        behind_proxy: args.behind_proxy,
        time_zone,
        web_dir: args.web_dir.clone(),
        ..Settings::default()
    })
}

/// Ctrl-C and SIGTERM end the server in order; a second one ends it at once.
#[cfg(unix)]
pub(super) fn wait_for_signals(ends: mpsc::Sender<Ends>) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .context("cannot listen for signals")?;
    INTERRUPT_IS_HANDLED.store(true, Ordering::SeqCst);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if ends.send(Ends::Asked).is_err()
                || !INTERRUPT_IS_HANDLED.swap(false, Ordering::SeqCst)
            {
                std::process::exit(crate::failure::EXIT_INTERRUPTED);
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn wait_for_signals(_ends: mpsc::Sender<Ends>) -> Result<()> {
    Ok(())
}

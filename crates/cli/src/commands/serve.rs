//! `serve`: the collector, the live tables and their API, in one process.

mod adapter;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::builder::NonEmptyStringValueParser;
use clicktrail_eventlog::{Log, RealDisk};
use clicktrail_pipeline::{Clock, FollowSettings, Inlet, Live, Silent};
use clicktrail_server::{Access, PORT_DEFAULT, Parts, ProducerMark, SecretHash, Settings};
use serde_json::json;

use crate::args::ProjectArgs;
use crate::failure::{INTERRUPT_IS_HANDLED, Outcome, Usage};
use crate::logging;
use crate::session::Session;
use crate::settings;

use adapter::{Ends, Followed};

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; any other than this machine's own needs a write secret
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        env = "CLICKTRAIL_BIND",
        hide_env_values = true
    )]
    bind: IpAddr,
    /// Port; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = PORT_DEFAULT, env = "CLICKTRAIL_PORT", hide_env_values = true)]
    port: u16,
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
    publish_every: u64,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Who may write and read.
#[derive(Debug, clap::Args)]
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
    let settings = settings::settings(&args.project, false, session)?;
    logging::start(&settings.load.project_dir, &session.terminal);
    let clock = Arc::clone(&session.clock) as Arc<dyn Clock>;
    let live = Arc::new(Live::open(settings, Arc::clone(&clock))?);
    let (mut log, opened) = Log::open(Arc::new(RealDisk), &live.log_dir(), &Default::default())
        .map_err(clicktrail_pipeline::PipelineError::from)?;
    let ticks = Arc::clone(&clock);
    log.set_clock(Box::new(move || Duration::from_secs_f64(ticks.seconds())));
    if let Some(tail) = &opened.truncated_tail {
        session.note(&format!(
            "the log ended in a frame that was never acknowledged; {} bytes of {} were dropped",
            tail.bytes,
            tail.file.display()
        ));
    }
    // Opened before the log thread starts: what is in the log already goes the way of recovery.
    let old = log
        .frames(live.status().stored_seq + 1)
        .map_err(clicktrail_pipeline::PipelineError::from)?;
    let follow = FollowSettings {
        store_every: Duration::from_secs(args.store_every),
        publish_every: Duration::from_secs(args.publish_every),
        ..FollowSettings::default()
    };
    let inlet = Inlet::new(Arc::clone(&live), Arc::clone(&clock), follow);
    let (ends, ended) = mpsc::channel();
    let (fatal, taken) = (ends.clone(), inlet.clone());
    let (appender, writer) = clicktrail_eventlog::start(
        log,
        Box::new(move |frames| taken.push(frames)),
        Box::new(move |error| {
            let _ = fatal.send(Ends::Fatal(error));
        }),
    )
    .map_err(clicktrail_pipeline::PipelineError::from)?;
    wait_for_signals(ends)?;
    // Before anybody is answered: how far senders' own numbering is stands in these frames, too.
    live.recover(old)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    let followed = Arc::new(Followed::new(Arc::clone(&live), inlet.clone(), appender.clone()));
    let parts = Parts {
        log: Arc::new(appender),
        live: Arc::clone(&followed) as _,
        clock: Arc::new(adapter::ServerClock(clock)),
        producers: producers(&live)?,
    };
    let server = runtime
        .block_on(clicktrail_server::serve(server_settings(args, &live)?, parts))
        .map_err(adapter::told)?;
    say(
        session,
        "listening",
        &format!("listening on http://{}; building the tables", server.address()),
        server.address(),
    );

    // Events are taken from here on; tables come when they are built.
    let phase = |text: &str| followed.set_phase(text);
    phase("building");
    live.start(&Silent)?;
    for (model, why) in &live.status().off {
        tracing::info!(model, why, "not live");
    }
    let writer = Arc::new(std::sync::Mutex::new(Some(writer)));
    let releasing = Arc::clone(&writer);
    let follower = inlet.start(Box::new(move |seq| {
        let writer = releasing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(writer) = writer.as_ref()
            && let Err(error) = writer.release(seq)
        {
            tracing::warn!(%error, "the log could not drop frames that are stored");
        }
    }));
    phase("live");
    say(session, "ready", &format!("ready: {}", rows_told(&live)), server.address());

    let end = ended.recv().unwrap_or(Ends::Asked);
    session.note("stopping: open requests end, events are stored");
    runtime.block_on(server.shutdown());
    let writer = writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let stopped = writer.map(|writer| writer.stop());
    let last = followed.durable_seq();
    follower.stop();
    let stored = live.status().stored_seq;
    if stored < last {
        session.note(&format!(
            "frames {} to {last} stay in the log, as they could not be stored; the next start stores them",
            stored + 1
        ));
    }
    match (end, stopped) {
        (Ends::Fatal(error), _) => Err(clicktrail_pipeline::PipelineError::from(error).into()),
        (Ends::Asked, Some(Err(error))) => {
            Err(clicktrail_pipeline::PipelineError::from(error).into())
        }
        (Ends::Asked, _) => Ok(Outcome::Done),
    }
}

/// Tells where and when; programs read it as an event.
fn say(session: &Session, event: &str, text: &str, address: std::net::SocketAddr) {
    if session.terminal.json_log {
        session.event(event, json!({ "address": address.to_string() }));
    } else {
        session.note(text);
    }
}

fn rows_told(live: &Live) -> String {
    let status = live.status();
    let rows = |name: &str| status.rows.get(name).copied().unwrap_or(0);
    format!(
        "{} events, {} sessions, {} credits follow the stream",
        rows("events"),
        rows("int_sessions"),
        rows("fct_credits")
    )
}

fn producers(live: &Live) -> Result<Vec<ProducerMark>> {
    Ok(live.producers()?.iter().filter_map(ProducerMark::from_json).collect())
}

fn server_settings(args: &Args, live: &Live) -> Result<Settings> {
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
        time_zone: live.time_zone(),
        ..Settings::default()
    })
}

/// Ctrl-C and SIGTERM end the server in order; a second one ends it at once.
#[cfg(unix)]
fn wait_for_signals(ends: mpsc::Sender<Ends>) -> Result<()> {
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
fn wait_for_signals(_ends: mpsc::Sender<Ends>) -> Result<()> {
    Ok(())
}

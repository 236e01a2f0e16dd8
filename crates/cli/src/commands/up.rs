//! `up`: checks, data, tables, dashboard and collector in one process, until `q`.

mod demo;
mod watch;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, Result};
use clicktrail_pipeline::{Live, Workspace};
use clicktrail_server::PORT_DEFAULT;

use super::serve::{self, Around, Ends};
use crate::failure::{Outcome, Usage};
use crate::session::Session;
use crate::settings::{self, PROJECT_FILE};

/// Folder of the demo, in the folder where one stands.
const DEMO_DIR: &str = "clicktrail-demo";

/// Ports tried after the default one, where another program has it.
const PORTS: u16 = 10;

/// Flags of `up`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Make a demo project with data in the folder clicktrail-demo (or --project-dir), and send it live events;
    /// the second start finds it again
    #[arg(long)]
    demo: bool,
    /// Demo events per second
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = parse_rate)]
    demo_rate: f64,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// Do not build again when files of the project change
    #[arg(long)]
    no_watch: bool,
    /// The server.
    #[command(flatten)]
    serve: serve::Args,
}

/// Runs until `q`, Ctrl-C or SIGTERM.
///
/// # Errors
/// A project that can't be read; an address in use.
pub(crate) fn run(args: Args, session: &Session) -> Result<Outcome> {
    let mut serve = args.serve;
    if serve.only_shows() {
        return Err(Usage::new("`up` builds tables and takes events, so it can't be read-only")
            .hint("clicktrail serve --read-only shows the tables of the last build")
            .into());
    }
    if args.demo {
        serve.project.project_dir = Some(demo_project(serve.project.project_dir.take(), session)?);
    }
    // Chosen once: a rebuild must come back at the address that is in the browser.
    serve.port = free_port(&serve)?;
    let settings = settings::settings(&serve.project, false, session)?;
    let dir = settings.load.project_dir.clone();
    check(&settings, session)?;

    let (ends, ended) = mpsc::channel();
    serve::wait_for_signals(ends.clone())?;
    let screen = Screen {
        demo_rate: args.demo.then_some(args.demo_rate),
        open: !args.no_open && can_open(session),
        opened: AtomicBool::new(false),
        secret: serve.first_write_secret(),
    };
    let address: Arc<std::sync::OnceLock<String>> = Arc::default();
    if watch::is_interactive() {
        watch::keys(ends.clone(), Arc::clone(&address));
    }
    if !args.no_watch {
        watch::files(dir, ends.clone());
    }
    loop {
        let around = Shown { screen: &screen, address: &address };
        match serve::serve_once(&serve, session, (&ends, &ended), &around)? {
            Ends::Rebuild => {
                // What is broken is told and waited for; meanwhile nobody is served.
                while let Err(error) = readable(&serve, session) {
                    crate::failure::tell(&error, session);
                    session.note("waiting for the next change of the project");
                    if matches!(ended.recv().unwrap_or(Ends::Asked), Ends::Asked | Ends::Fatal(_)) {
                        return Ok(Outcome::Done);
                    }
                }
                session.note("building again");
            }
            _ => return Ok(Outcome::Done),
        }
    }
}

/// The demo's folder, with a project in it.
fn demo_project(given: Option<PathBuf>, session: &Session) -> Result<PathBuf> {
    let dir = given.unwrap_or_else(|| DEMO_DIR.into());
    if dir.join(PROJECT_FILE).exists() {
        session.note(&format!("using the demo in {}", dir.display()));
    } else {
        session.note(&format!("making a demo in {}", dir.display()));
        super::init::demo(&dir, &demo::export(session)?, session)?;
    }
    Ok(dir)
}

/// The port asked for; where that is the default, the next one that is free; where it is 0, any.
fn free_port(serve: &serve::Args) -> Result<u16> {
    let free = |port: &u16| TcpListener::bind((serve.bind, *port)).is_ok();
    match serve.port {
        PORT_DEFAULT => Ok((PORT_DEFAULT..PORT_DEFAULT + PORTS).find(free).unwrap_or(PORT_DEFAULT)),
        0 => {
            let any = TcpListener::bind((serve.bind, 0)).and_then(|listener| listener.local_addr());
            Ok(any.context("cannot find a free port")?.port())
        }
        port => Ok(port),
    }
}

/// What `debug` checks; only what is wrong is told.
fn check(settings: &clicktrail_pipeline::Settings, session: &Session) -> Result<()> {
    let checks = Workspace::debug(settings, false);
    for check in checks.iter().filter(|check| !check.ok) {
        session.note(&format!("✗ {}: {}", check.subject, check.found));
        if let Some(fix) = &check.fix {
            session.note(&format!("  fix: {fix}"));
        }
    }
    if checks.iter().all(|check| check.ok) {
        session.note(&format!("✓ {} checks", checks.len()));
    }
    Ok(())
}

fn readable(serve: &serve::Args, session: &Session) -> Result<()> {
    let settings = settings::settings(&serve.project, false, session)?;
    settings::open_quietly(settings, session).map(drop)
}

/// Whether there is a person with a browser.
fn can_open(session: &Session) -> bool {
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    session.terminal.bars && has_screen
}

/// What stays the same when the server starts anew.
struct Screen {
    demo_rate: Option<f64>,
    open: bool,
    opened: AtomicBool,
    secret: Option<String>,
}

struct Shown<'a> {
    screen: &'a Screen,
    address: &'a Arc<std::sync::OnceLock<String>>,
}

impl Around for Shown<'_> {
    fn listening(&self, session: &Session, address: SocketAddr) {
        let url = self.address.get_or_init(|| format!("http://{address}"));
        serve::say(
            session,
            "listening",
            &format!("dashboard: {url}   (building the tables)"),
            address,
        );
        if self.screen.open && !self.screen.opened.swap(true, Ordering::SeqCst) {
            watch::open_browser(url);
        }
    }

    fn ready(&self, session: &Session, address: SocketAddr, live: &Arc<Live>) {
        serve::say(session, "ready", &format!("ready: {}", serve::rows_told(live)), address);
        if watch::is_interactive() {
            session.note("q quits, r builds again, space opens the browser");
        }
        if let Some(rate) = self.screen.demo_rate {
            let url = format!("http://{address}");
            demo::stream(
                url,
                self.screen.secret.clone(),
                rate,
                Arc::downgrade(live),
                Arc::clone(&session.clock),
            );
            session.note(&format!("sending demo events, {rate} a second"));
        }
    }

    fn outlasts(&self, session: &Session, error: &anyhow::Error) -> bool {
        crate::failure::tell(error, session);
        session.note("the dashboard says so too; change the project, or press r to try again");
        true
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no rate; write e.g. 4 or 20"))?;
    if rate > 0.0 && rate <= 1_000.0 {
        Ok(rate)
    } else {
        Err("a rate is above 0 and at most 1000".into())
    }
}

/// How long nothing may change until a change counts as over: editors write in steps.
const QUIET: Duration = Duration::from_millis(300);

/// Folders in a project that a build writes or reads as data.
fn is_watched(dir: &Path, path: &Path) -> bool {
    let inside = path.strip_prefix(dir).unwrap_or(path);
    let first =
        inside.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let first = first.unwrap_or_default();
    !first.starts_with('.') && !["target", "warehouse", "data", "logs"].contains(&first.as_str())
}

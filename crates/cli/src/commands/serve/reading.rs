//! `serve --read-only`: pages and queries over the tables of the last build. Nothing is taken in and nothing kept in
//! memory, so that the size of the tables does not matter, and builds of other processes go on. Tables of a target in
//! BigQuery are copied here first, by a thread of its own.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clicktrail_pipeline::{Clock, Kind, Look, PipelineError, Refreshed, Shelf};
use clicktrail_server::{
    Dashboard, Feed, Live, LiveStatus, NoLog, PageAnswer, PageAsk, PageFailure, Parts, QueryAnswer,
    QueryFailure, QueryRequest, Settings,
};
use serde_json::{Value, json};

use super::adapter::{self, Ends, ServerClock};
use super::dashboard::{failure, page_answer, page_request};
use super::{Args, listed, say, server_settings};
use crate::failure::{Outcome, Usage};
use crate::logging;
use crate::session::Session;
use crate::settings;

/// How often other processes' builds are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// A fault of the project; an address in use; a target in BigQuery that can't be read.
pub(super) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let (ends, ended) = mpsc::channel();
    super::wait_for_signals(ends)?;
    let settings = settings::settings(&args.project, false, session)?;
    logging::start(&settings.load.project_dir, &session.terminal);
    let clock = Arc::clone(&session.clock) as Arc<dyn Clock>;
    let reading = Arc::new(Reading {
        shelf: Shelf::open(settings, &args.copies.settings(), Arc::clone(&clock))?,
        phase: Mutex::new("starting".into()),
        about: clicktrail_server::dashboard_about(),
    });
    // What can be read at once is there with the first page.
    let mut known = reading.look()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    let server_clock: Arc<dyn clicktrail_server::Clock> = Arc::new(ServerClock(clock));
    let feed = Arc::new(Feed::new(Arc::clone(&server_clock)));
    let parts = Parts {
        log: Arc::new(NoLog),
        live: Arc::clone(&reading) as _,
        clock: server_clock,
        producers: Vec::new(),
        dashboard: Some(Arc::clone(&reading) as _),
        feed: Arc::clone(&feed),
    };
    // Dates are those of the tables; the time zone only dates events that come.
    let settings = Settings { read_only: true, ..server_settings(args, chrono_tz::Tz::UTC)? };
    let server =
        runtime.block_on(clicktrail_server::serve(settings, parts)).map_err(Usage::from)?;
    let address = server.address();
    let whose = reading.shelf.elsewhere().map(|place| format!(" of {place}")).unwrap_or_default();
    let text = format!("listening on http://{address}; only showing tables{whose}");
    say(session, "listening", &text, address);
    let heard = copying(&reading, args.copies.every());
    let mut troubled = Troubled::default();
    if heard.is_none() {
        tell(known, &reading, session, address);
    }
    let end = loop {
        match ended.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Ends::Rebuild) => continue,
            Ok(Ends::Asked | Ends::Fatal(_)) | Err(RecvTimeoutError::Disconnected) => break Ok(()),
        }
        let (news, gone) = heard.as_ref().map_or_else(Default::default, news_of);
        if gone {
            break Err(anyhow!("the thread that copies tables has ended"));
        }
        let moved = news.iter().any(|copied| matches!(copied, Ok(Refreshed::New)));
        if let Err(error) =
            news.into_iter().try_for_each(|one| troubled.hear(one, &reading, session))
        {
            break Err(error);
        }
        let look = reading.look()?;
        if look == Look::New || moved {
            feed.nudge();
        }
        let is_told = look == Look::Missing && heard.is_some();
        if look != known && look != Look::Same && !is_told {
            tell(look, &reading, session, address);
            known = look;
        }
    };
    runtime.block_on(server.shutdown());
    end.map(|()| Outcome::Done)
}

/// How an attempt to bring copies up to date went.
type Copied = Result<Refreshed, PipelineError>;

/// What a thread has said since it was heard last, and whether it has ended.
fn news_of(heard: &mpsc::Receiver<Copied>) -> (Vec<Copied>, bool) {
    let mut news = Vec::new();
    loop {
        match heard.try_recv() {
            Ok(one) => news.push(one),
            Err(gone) => return (news, gone == TryRecvError::Disconnected),
        }
    }
}

/// A thread that keeps copies up to date, and what it says; none where nothing is copied.
fn copying(reading: &Arc<Reading>, every: Duration) -> Option<mpsc::Receiver<Copied>> {
    reading.shelf.elsewhere()?;
    let (told, heard) = mpsc::channel();
    let reading = Arc::clone(reading);
    std::thread::spawn(move || {
        while told.send(reading.shelf.refresh()).is_ok() {
            std::thread::sleep(every);
        }
    });
    Some(heard)
}

/// What is told of copies that are not the newest: once, until they are again.
#[derive(Default)]
struct Troubled(Option<String>);

impl Troubled {
    /// # Errors
    /// What nobody can wait for: nothing was copied yet, and nothing will be before somebody changes something.
    fn hear(&mut self, copied: Copied, reading: &Reading, session: &Session) -> Result<()> {
        let text = match copied {
            Ok(Refreshed::Same | Refreshed::New) => {
                if self.0.take().is_some() && reading.shelf.snapshot().is_some() {
                    session.note("the tables are the newest again");
                }
                return Ok(());
            }
            Ok(Refreshed::Waiting(why)) => why,
            Ok(Refreshed::Missing(missing)) => {
                tracing::info!(?missing, "not built");
                lacks(&missing, reading.shelf.build_command())
            }
            Err(error) => {
                if error.kind() != Kind::Unavailable && reading.shelf.snapshot().is_none() {
                    return Err(error.into());
                }
                tracing::warn!(code = error.code(), %error, "tables could not be copied");
                error.to_string()
            }
        };
        if self.0.as_ref() != Some(&text) {
            let shown = match reading.shelf.snapshot() {
                Some(_) => "; pages show the tables from before",
                None => "",
            };
            session.note(&format!("{text}{shown}"));
            self.0 = Some(text);
        }
        Ok(())
    }
}

fn tell(look: Look, reading: &Reading, session: &Session, address: std::net::SocketAddr) {
    match look {
        Look::New | Look::Same => {
            say(
                session,
                "ready",
                &format!("ready: {}", listed(&reading.shelf.table_rows())),
                address,
            );
        }
        Look::Busy => {
            session.note("another process changes the tables; they are shown when it is done")
        }
        Look::Missing => session.note(&reading.phase()),
    }
}

/// Which tables a page needs and nobody has built.
fn lacks(missing: &[String], build: &str) -> String {
    match missing {
        [one] => format!("the table {one} is not built yet; `{build}` makes it"),
        [first, more @ ..] => {
            format!(
                "the tables {first} and {} more are not built yet; `{build}` makes them",
                more.len()
            )
        }
        [] => format!("there are no tables yet; `{build}` makes them"),
    }
}

/// The shelf as the server sees it.
struct Reading {
    shelf: Shelf,
    phase: Mutex<String>,
    about: Value,
}

impl Reading {
    fn look(&self) -> Result<Look, PipelineError> {
        let look = self.shelf.look()?;
        let phase = match look {
            _ if self.shelf.snapshot().is_some() => "read-only",
            Look::Busy => "another process builds the tables",
            _ if self.shelf.elsewhere().is_some() => &self.awaited()?,
            _ => &lacks(&self.shelf.missing()?, self.shelf.build_command()),
        };
        phase.clone_into(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(look)
    }

    fn phase(&self) -> String {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is waited for while nothing is copied yet.
    fn awaited(&self) -> Result<String, PipelineError> {
        let (missing, doing) = (self.shelf.missing()?, self.shelf.doing());
        Ok(match self.shelf.stale() {
            _ if !doing.is_empty() => format!("reading {doing}"),
            _ if !missing.is_empty() => lacks(&missing, self.shelf.build_command()),
            Some(why) => why,
            None => "asking BigQuery for its tables".into(),
        })
    }
}

impl Dashboard for Reading {
    fn snapshot(&self) -> Option<String> {
        self.shelf.snapshot()
    }

    fn progress(&self) -> Value {
        match self.shelf.snapshot() {
            Some(_) => Value::Null,
            None => {
                json!({ "phase": "waiting", "done": 0, "total": 0, "current": self.phase(), "seconds": 0, "error": null })
            }
        }
    }

    fn tests(&self) -> Value {
        self.shelf.tests()
    }

    fn tested_at(&self) -> i64 {
        self.shelf.tested_at()
    }

    fn page(&self, ask: &PageAsk) -> Result<PageAnswer, PageFailure> {
        self.shelf
            .page(&page_request(ask), self.about.clone())
            .map(|result| page_answer(ask, result))
            .map_err(failure)
    }
}

impl Live for Reading {
    fn status(&self) -> LiveStatus {
        let tables: BTreeMap<String, u64> = self.shelf.table_rows();
        LiveStatus {
            ready: self.shelf.snapshot().is_some(),
            phase: self.phase(),
            stale: self.shelf.stale().filter(|_| self.shelf.snapshot().is_some()),
            tables,
            ..LiveStatus::default()
        }
    }

    fn query(&self, request: &QueryRequest) -> Result<QueryAnswer, QueryFailure> {
        let result = self
            .shelf
            .query(&adapter::sql_of(&request.ask))
            .map_err(|error| adapter::failure(&error, &request.ask))?;
        adapter::answered(0, result, request.limit)
    }
}

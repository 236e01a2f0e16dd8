//! `serve --read-only`: pages and queries over the tables of the last build. Nothing is taken in and nothing kept in
//! memory, so that the size of the tables does not matter, and builds of other processes go on.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clicktrail_pipeline::{Clock, Look, PipelineError, Shelf};
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
/// A fault of the project; an address in use.
pub(super) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let (ends, ended) = mpsc::channel();
    super::wait_for_signals(ends)?;
    let settings = settings::settings(&args.project, false, session)?;
    logging::start(&settings.load.project_dir, &session.terminal);
    let clock = Arc::clone(&session.clock) as Arc<dyn Clock>;
    let reading = Arc::new(Reading {
        shelf: Shelf::open(settings, Arc::clone(&clock))?,
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
    say(
        session,
        "listening",
        &format!("listening on http://{address}; only showing tables"),
        address,
    );
    tell(known, &reading, session, address);
    loop {
        match ended.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Ends::Rebuild) => continue,
            Ok(Ends::Asked | Ends::Fatal(_)) | Err(RecvTimeoutError::Disconnected) => break,
        }
        let look = reading.look()?;
        if look == Look::New {
            feed.nudge();
        }
        if look != known && look != Look::Same {
            tell(look, &reading, session, address);
            known = look;
        }
    }
    runtime.block_on(server.shutdown());
    Ok(Outcome::Done)
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
fn lacks(missing: &[&str]) -> String {
    const BUILD: &str = "`clicktrail build` makes them";
    match missing {
        [one] => format!("the table {one} is not built yet; {BUILD}"),
        [first, more @ ..] => {
            format!("the tables {first} and {} more are not built yet; {BUILD}", more.len())
        }
        [] => format!("there are no tables yet; {BUILD}"),
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
            _ => &lacks(&self.shelf.missing()?),
        };
        phase.clone_into(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(look)
    }

    fn phase(&self) -> String {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

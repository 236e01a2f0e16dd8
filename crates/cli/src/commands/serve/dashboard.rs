//! Pages and the live stream, from the live tables to the server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clicktrail_pipeline::{
    Clock, Kind, Live, NodeResult, PageFault, PageRequest, PageResult, Reporter, Round, RunPlan,
    SystemClock, rfc3339,
};
use clicktrail_server::{
    BadKey, Dashboard, Feed, LiveEvent, PageAnswer, PageAsk, PageFailure, QueryFailureKind,
};
use serde_json::{Value, json};

use super::adapter::{self, Followed};

/// Seconds by which an event counts as told late.
const LATE_SECONDS: i64 = 60;

/// How far a build is, for who waits for a page.
pub(super) struct Progress {
    clock: Arc<SystemClock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    started: f64,
    done: usize,
    total: usize,
    current: String,
    failed: Option<String>,
    over: bool,
}

impl Progress {
    pub(super) fn new(clock: Arc<SystemClock>) -> Self {
        let started = clock.seconds();
        Self { clock, state: Mutex::new(State { started, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) {
        self.state().over = true;
    }

    pub(super) fn fail(&self, text: &str) {
        self.state().failed = Some(text.to_owned());
    }

    fn told(&self) -> Value {
        let state = self.state();
        if state.over {
            return Value::Null;
        }
        let phase = if state.failed.is_some() { "failed" } else { "building" };
        json!({ "phase": phase, "done": state.done, "total": state.total, "current": state.current,
            "seconds": self.clock.seconds() - state.started, "error": state.failed })
    }
}

impl Reporter for Progress {
    fn planned(&self, plan: &RunPlan) {
        self.state().total = plan.counts[0] + plan.counts[1];
    }

    fn started(&self, _unique_id: &str, name: &str) {
        name.clone_into(&mut self.state().current);
    }

    fn finished(&self, result: &NodeResult) {
        let mut state = self.state();
        state.done += 1;
        state.current.clone_from(&result.name);
    }
}

/// The pages.
pub(super) struct Pages {
    live: Arc<Live>,
    followed: Arc<Followed>,
    progress: Arc<Progress>,
    /// What Settings says of the dashboard itself.
    about: Value,
}

impl Pages {
    pub(super) fn new(live: Arc<Live>, followed: Arc<Followed>, progress: Arc<Progress>) -> Self {
        Self { live, followed, progress, about: clicktrail_server::dashboard_about() }
    }

    /// What Health says of the stream.
    fn stream(&self) -> Value {
        let status = clicktrail_server::Live::status(self.followed.as_ref());
        json!({ "phase": status.phase, "durable_seq": status.durable_seq, "applied_seq": status.applied_seq,
            "lag_seconds": status.lag_seconds, "events": status.events, "duplicates": status.duplicates,
            "late": status.late, "mismatches": status.live_batch_mismatch })
    }
}

impl Dashboard for Pages {
    fn snapshot(&self) -> Option<String> {
        self.live.snapshot()
    }

    fn progress(&self) -> Value {
        self.progress.told()
    }

    fn tests(&self) -> Value {
        self.live.tests()
    }

    fn tested_at(&self) -> i64 {
        self.live.tested_at()
    }

    fn page(&self, ask: &PageAsk) -> Result<PageAnswer, PageFailure> {
        let result = self
            .live
            .page(&page_request(ask), self.stream(), self.about.clone())
            .map_err(failure)?;
        Ok(page_answer(ask, result))
    }
}

/// What is asked, for who computes it.
pub(super) fn page_request(ask: &PageAsk) -> PageRequest {
    PageRequest { page: ask.page.clone(), id: ask.id.clone(), query: ask.query.clone() }
}

/// A page as it was asked for.
pub(super) fn page_answer(ask: &PageAsk, result: PageResult) -> PageAnswer {
    let body = match ask.csv {
        true => result.csv(&ask.page).unwrap_or_default(),
        false => result.body.to_string(),
    };
    PageAnswer { snapshot: result.snapshot, body, fixed: result.fixed }
}

/// A page's fault as the server tells it.
pub(super) fn failure(fault: PageFault) -> PageFailure {
    match fault {
        PageFault::Keys(faults) => PageFailure::Keys(
            faults
                .into_iter()
                .map(|fault| BadKey { key: fault.key, value: fault.value, why: fault.why })
                .collect(),
        ),
        PageFault::NotFound(what) => PageFailure::NotFound(what),
        PageFault::NotReady => PageFailure::NotReady,
        PageFault::Failed(error) => {
            // The page's SQL is ours: what is wrong with it is no fault of who asks.
            let kind = match error.kind() {
                Kind::Unavailable => QueryFailureKind::Unavailable,
                _ => QueryFailureKind::Internal,
            };
            PageFailure::Failed(adapter::told(&error, kind))
        }
    }
}

/// Has the feed told of every round.
pub(super) fn tell(live: &Live, feed: &Arc<Feed>) {
    let feed = Arc::clone(feed);
    live.listen(Box::new(move |round| {
        let Round { events, skipped, seq, received_at, changed } = round;
        let told = events
            .into_iter()
            .map(|event| {
                let [channel, source, medium, campaign] =
                    event.touch.map_or([const { None }; 4], |touch| touch.map(Some));
                let (value, currency) = event.revenue.unzip();
                let late = (received_at - event.at_micros).div_euclid(1_000_000);
                LiveEvent {
                    id: event.key,
                    seq: 0,
                    frame: seq,
                    ts: rfc3339(event.at_micros),
                    ingest_us: received_at,
                    name: event.name,
                    channel,
                    source,
                    medium,
                    campaign,
                    value,
                    currency: currency.filter(|currency| !currency.is_empty()),
                    conv: event.conversion,
                    person: event.person,
                    late_s: if late > LATE_SECONDS { late } else { 0 },
                }
            })
            .collect();
        feed.tell(told, skipped, changed);
    }));
}

//! Whether the server lives, whether its tables are current, and its figures.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;

use super::Shared;
use crate::app::App;
use crate::metrics;
use crate::problem::{Fault, Problem};

/// The process answers. Says nothing about the tables.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The tables answer queries and are current. Events are taken before that, too.
pub(crate) async fn readyz(State(app): Shared) -> Response {
    match ready(&app) {
        Ok(()) => "ready\n".into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn ready(app: &App) -> Result<(), Problem> {
    let status = app.live.status();
    let refuse = |detail: String| {
        Err(Problem::new(Fault::NotReady, detail)
            .with("phase", status.phase.as_str())
            .with("lag_seconds", status.lag_seconds))
    };
    if !status.ready {
        return refuse(format!("the tables are not ready: {}", status.phase));
    }
    let most = app.settings.bounds.ready_lag.as_secs_f64();
    if status.lag_seconds > most {
        return refuse(format!(
            "the tables are {:.1} s behind, {most} s allowed",
            status.lag_seconds
        ));
    }
    Ok(())
}

/// Counters and gauges for Prometheus.
pub(crate) async fn metrics(State(app): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    app.rules.reader(&headers)?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], app.metrics.text()).into_response())
}

//! The pages' JSON: one answer for each question and state of the tables, kept and shared.

use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Shared;
use super::pages::matches;
use crate::app::App;
use crate::dashboard::{PageAnswer, PageAsk, PageFailure};
use crate::problem::{Fault, Problem};
use crate::query;
use crate::web::hex;

/// The API's own description.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");

/// A page's answer with the tag of its question and state.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) body: Arc<str>,
    pub(crate) etag: Option<String>,
    tested_at: i64,
}

/// The pages that have no id, each with an address of its own but the first, which is at `/`.
pub(crate) const PAGES: [&str; 7] =
    ["overview", "models", "paths", "conversions", "health", "lineage", "settings"];

/// One of [`PAGES`].
pub(crate) async fn page(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    respond(&app, request.uri(), request.headers(), &name, None, false).await
}

/// The pages about one thing: a conversion, an event, a node, a dimension.
pub(crate) fn about_one(page: &'static str) -> MethodRouter<Arc<App>> {
    get(move |State(app): Shared, Path(id): Path<String>, request: Request| async move {
        respond(&app, request.uri(), request.headers(), page, Some(id), false).await
    })
}

/// A page's table as CSV.
pub(crate) async fn export(
    State(app): Shared,
    Path(file): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let known = ["overview", "models", "paths", "conversions"];
    let Some(page) = file.strip_suffix(".csv").filter(|page| known.contains(page)) else {
        return Err(Problem::new(Fault::NotFound, "there is no such report")
            .hint("overview.csv, models.csv, paths.csv or conversions.csv"));
    };
    respond(&app, request.uri(), request.headers(), page, None, true).await
}

/// What the API can be asked.
pub(crate) async fn openapi(State(app): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    app.rules.reader(&headers)?;
    Ok(([(CONTENT_TYPE, "application/json")], OPENAPI).into_response())
}

async fn respond(
    app: &Arc<App>,
    uri: &Uri,
    headers: &HeaderMap,
    page: &str,
    id: Option<String>,
    csv: bool,
) -> Result<Response, Problem> {
    app.rules.reader(headers)?;
    let ask = PageAsk { page: page.to_owned(), id, query: decoded(uri.query()), csv };
    if let Some(dashboard) = &app.dashboard
        && let Some(snapshot) = dashboard.snapshot()
        && let etag = tag(&key(&ask, &snapshot), dashboard.tested_at())
        && matches(headers, &etag)
    {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let answered = answer(app, ask).await?;
    let mut response = Response::new(axum::body::Body::from(answered.body.to_string()));
    let fields = response.headers_mut();
    let kind = if csv { "text/csv; charset=utf-8" } else { "application/json" };
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if csv && let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{page}.csv\""))
    {
        fields.insert(CONTENT_DISPOSITION, name);
    }
    if let Some(etag) = answered.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        fields.insert(ETAG, etag);
    }
    Ok(response)
}

/// A page's answer: kept, or computed once for all who ask at the same time.
pub(crate) async fn answer(app: &Arc<App>, ask: PageAsk) -> Result<Answered, Problem> {
    let Some(dashboard) = app.dashboard.clone() else {
        return Err(Problem::new(Fault::NotFound, "this server has no dashboard"));
    };
    let Some(snapshot) = dashboard.snapshot() else { return Err(not_ready(&dashboard.progress())) };
    let wanted = ask.query.iter().find(|(name, value)| name == "snap" && !value.is_empty());
    let wanted = wanted.map_or(snapshot.clone(), |(_, value)| value.clone());
    let question = key(&ask, &wanted);
    if wanted != snapshot {
        return kept(app, &question).ok_or_else(expired);
    }
    let tested_at = dashboard.tested_at();
    let current = || kept(app, &question).filter(|kept| kept.tested_at == tested_at);
    if let Some(kept) = current() {
        return Ok(kept);
    }
    let flight = Arc::clone(
        app.flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(question.clone(), Arc::default),
    );
    let _turn = flight.lock().await;
    if let Some(kept) = current() {
        return Ok(kept);
    }
    let Ok(turn) = Arc::clone(&app.queries).try_acquire_owned() else {
        return Err(Problem::new(Fault::Busy, "other queries are under way"));
    };
    let asked = ask.clone();
    let work = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        dashboard.page(&asked)
    });
    let Ok(answered) = work.await else {
        return Err(Problem::new(Fault::Internal, "the page failed unexpectedly"));
    };
    let PageAnswer { snapshot, body, fixed } = answered.map_err(|failure| told(app, failure))?;
    // The tables may have moved between the question and its answer.
    let question = key(&ask, &snapshot);
    let etag = fixed.then(|| tag(&question, tested_at));
    let answered = Answered { body: body.into(), etag, tested_at };
    if fixed {
        let mut pages = app.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.put(question, answered.clone());
    }
    Ok(answered)
}

fn kept(app: &App, question: &str) -> Option<Answered> {
    app.pages.lock().unwrap_or_else(PoisonError::into_inner).get(question).cloned()
}

fn told(app: &App, failure: PageFailure) -> Problem {
    match failure {
        PageFailure::Keys(keys) => {
            let names: Vec<&str> = keys.iter().map(|bad| bad.key.as_str()).collect();
            let detail = format!("not understood: {}", names.join(", "));
            let keys: Vec<Value> = keys
                .iter()
                .map(|bad| json!({ "key": bad.key, "value": bad.value, "why": bad.why }))
                .collect();
            Problem::new(Fault::Keys, detail).with("keys", keys)
        }
        PageFailure::NotFound(detail) => Problem::new(Fault::Unknown, detail),
        PageFailure::Expired => expired(),
        PageFailure::NotReady => {
            not_ready(&app.dashboard.as_ref().map_or(Value::Null, |dashboard| dashboard.progress()))
        }
        PageFailure::Failed(failure) => failure.into(),
    }
}

fn expired() -> Problem {
    Problem::new(Fault::Expired, "the state of the tables that `snap` names is not kept any more")
}

fn not_ready(progress: &Value) -> Problem {
    Problem::new(Fault::NotReady, "the tables are being built").with("progress", progress.clone())
}

/// Question and state as one text. The order of keys does not matter, and `snap` is the state itself.
fn key(ask: &PageAsk, snapshot: &str) -> String {
    let mut query: Vec<&(String, String)> =
        ask.query.iter().filter(|(name, value)| name != "snap" && !value.is_empty()).collect();
    query.sort();
    json!([snapshot, ask.page, ask.id, ask.csv, query]).to_string()
}

fn tag(key: &str, tested_at: i64) -> String {
    format!("\"{}\"", hex(&Sha256::digest(format!("{key}\n{tested_at}"))[..12]))
}

/// The keys of a query string.
pub(super) fn decoded(search: Option<&str>) -> Vec<(String, String)> {
    query::pairs(search.unwrap_or_default())
}

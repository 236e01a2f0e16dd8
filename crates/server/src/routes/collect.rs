//! What Google's senders call: Measurement Protocol and gtag hits.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clicktrail_ingest::collect;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::Shared;
use super::store::{Route, all_refused, arrive, malformed};
use crate::app::App;
use crate::body;
use crate::problem::{Fault, Problem};

const MEASUREMENT_PROTOCOL: &str = "/mp/collect";
const GTAG: &str = "/g/collect";

/// Lines of a gtag request. gtag.js sends some 25; from 100 on they are refused one by one.
const GTAG_LINES_MAX: usize = 1_000;

/// Pages send with `sendBeacon`, which says `text/plain`.
const JSON_TYPES: &[&str] = &["application/json", "text/plain"];

/// `POST /mp/collect`: 204 when what was good in it is on disk.
pub(super) async fn measurement_protocol(
    State(app): Shared,
    request: Request,
) -> Result<StatusCode, Problem> {
    let most = app.settings.bounds.measurement_protocol_bytes;
    let route = Route { path: MEASUREMENT_PROTOCOL, types: JSON_TYPES, most };
    let arrival = arrive(&app, request, None, route).await?;
    let mut parsed = arrival.parse(&app, collect::measurement_protocol).await?;
    let stored = arrival.store(&app, route.path, &mut parsed, None).await?;
    if let Some(whole) = &parsed.malformed {
        return Err(malformed(whole));
    }
    if parsed.accepted.is_empty() {
        return Err(all_refused(&parsed.rejected, stored.seq));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /debug/mp/collect`: what is wrong with a request, in Google's words. Stores nothing.
pub(super) async fn validate(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let most = app.settings.bounds.measurement_protocol_bytes;
    let route = Route { path: "/debug/mp/collect", types: JSON_TYPES, most };
    let arrival = arrive(&app, request, None, route).await?;
    let (query, content) = (arrival.query.clone(), arrival.body.clone());
    let (receipt, limits) = (arrival.receipt.clone(), Arc::clone(&app.limits));
    let judge =
        move || Ok(collect::validate_measurement_protocol(&query, &content, &receipt, &limits));
    let messages = body::off_thread(&app.workers, arrival.body.len(), judge).await?;
    let text = json!({ "validationMessages": messages }).to_string();
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// `GET` and `POST /g/collect`: 204 for all that can be read, as a page can do nothing about the
/// rest.
pub(super) async fn gtag(State(app): Shared, request: Request) -> Result<StatusCode, Problem> {
    hit(&app, request, None).await
}

/// The same below a write key.
pub(super) async fn keyed_gtag(
    State(app): Shared,
    key: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let key = key.map(|Path(key)| key).unwrap_or_default();
    if !app.rules.is_write_key(&key) {
        return Err(Problem::new(Fault::NotFound, "there is nothing at this path"));
    }
    hit(&app, request, Some(&key)).await
}

async fn hit(app: &Arc<App>, request: Request, key: Option<&str>) -> Result<StatusCode, Problem> {
    // Whoever asks for the head only does not want an event to be counted.
    if request.method() == Method::HEAD {
        return Err(Problem::new(Fault::Method, "the path takes GET, POST and OPTIONS"));
    }
    let route = Route { path: GTAG, types: &[], most: app.settings.bounds.gtag_bytes };
    let arrival = arrive(app, request, key, route).await?;
    arrival.check_lines(GTAG_LINES_MAX)?;
    let mut parsed = arrival.parse(app, collect::gtag).await?;
    arrival.store(app, route.path, &mut parsed, None).await?;
    match &parsed.malformed {
        Some(whole) => Err(malformed(whole)),
        None => Ok(StatusCode::NO_CONTENT),
    }
}

/// What a browser asks before it sends.
pub(super) async fn preflight(State(app): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    let allowed = app.rules.preflight(&headers)?;
    Ok((StatusCode::NO_CONTENT, allowed).into_response())
}

/// Lets listed pages read answers, those with an error included.
pub(super) async fn cross_origin(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = app.rules.allow_origin(request.headers());
    let mut answer = next.run(request).await;
    answer.headers_mut().extend(allowed);
    answer
}

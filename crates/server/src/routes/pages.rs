//! The dashboard's HTML and files.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, REFERRER_POLICY, SET_COOKIE, VARY,
    X_FRAME_OPTIONS,
};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::dashboard::{PAGES, answer, decoded};
use crate::app::App;
use crate::dashboard::PageAsk;
use crate::problem::{Fault, Problem};
use crate::query;
use crate::web::{Asset, inside_script};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Which answer a page begins with: the page's path → path below `/api/v1` and what is asked.
fn first_answer(path: &str) -> Option<(String, PageAsk)> {
    let ask = |page: &str, id: Option<&str>| PageAsk {
        page: page.to_owned(),
        id: id.map(str::to_owned),
        ..PageAsk::default()
    };
    if let Some(id) = path.strip_prefix("/c/") {
        return Some((format!("/conversions/{id}/explain"), ask("explain", Some(id))));
    }
    let page = match path {
        "/" => "overview",
        _ => path.strip_prefix('/').filter(|page| PAGES[1..].contains(page))?,
    };
    Some((format!("/{page}"), ask(page, None)))
}

/// The shell of every page with its first answer inside.
pub(crate) async fn page(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    if let Some(answer) = sign_in(&app, uri.path(), uri.query().unwrap_or_default()) {
        return Ok(answer);
    }
    app.rules.page_reader(&headers)?;
    let Some(shell) = app.dashboard.as_ref().and_then(|_| app.web.shell()) else {
        return Err(Problem::new(Fault::NotFound, "this server has no dashboard"));
    };
    let mut first = Value::Null;
    if let Some((path, mut ask)) = first_answer(uri.path()) {
        ask.query = decoded(uri.query());
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        // What goes wrong here is told to the page when it asks by itself.
        if let Ok(answered) = answer(&app, ask).await {
            first = json!({ "path": format!("/api/v1{path}{query}"), "etag": answered.etag });
            let text =
                format!("{},\"body\":{}}}", first.to_string().trim_end_matches('}'), answered.body);
            return Ok(html(&shell.before, &inside_script(&text), &shell.after, &shell.policy));
        }
    }
    Ok(html(&shell.before, &first.to_string(), &shell.after, &shell.policy))
}

fn html(before: &str, json: &str, after: &str, policy: &str) -> Response {
    let mut answer = Response::new(Body::from(format!("{before}{json}{after}")));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// `?token=<read secret>` once gives the browser a cookie; the address loses it at once.
fn sign_in(app: &App, path: &str, search: &str) -> Option<Response> {
    let token = query::value(search, "token")?;
    app.rules.is_read_secret(token.as_bytes()).then(|| {
        let mut answer = StatusCode::SEE_OTHER.into_response();
        let cookie = format!("clicktrail_token={token}; Path=/; HttpOnly; SameSite=Strict");
        let search = query::without_secrets(search);
        let address = if search.is_empty() { path.to_owned() } else { format!("{path}?{search}") };
        if let (Ok(cookie), Ok(path)) =
            (HeaderValue::from_str(&cookie), HeaderValue::from_str(&address))
        {
            answer.headers_mut().insert(SET_COOKIE, cookie);
            answer.headers_mut().insert(LOCATION, path);
        }
        answer
    })
}

/// A file of the dashboard. Its address names the build, so it never changes.
pub(crate) async fn asset(
    State(app): Shared,
    Path((_build, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(asset) = app.web.asset(&name) else {
        return Err(Problem::new(Fault::NotFound, "the dashboard has no such file")
            .hint("reload the page: another version may be running"));
    };
    Ok(send(&app, &asset, &headers))
}

/// Licences of what the dashboard brings along.
pub(crate) async fn licences(State(app): Shared) -> Response {
    let text: Vec<String> =
        app.web.licences().iter().map(|(name, text)| format!("{name}\n\n{text}\n")).collect();
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text.join("\n")).into_response()
}

fn send(app: &Arc<App>, asset: &Asset, request: &HeaderMap) -> Response {
    let mut answer = if matches(request, &asset.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let packed = request
            .get(ACCEPT_ENCODING)
            .and_then(|accepted| accepted.to_str().ok())
            .filter(|accepted| accepted.split(',').any(|one| one.trim().starts_with("gzip")))
            .and(asset.gzip.clone());
        let is_packed = packed.is_some();
        let body: Bytes = packed.unwrap_or_else(|| asset.plain.clone());
        let mut answer = Response::new(Body::from(body));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        if is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    };
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    let kept = match app.web.is_edited() {
        true => "no-cache",
        false => "public, max-age=31536000, immutable",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(ETAG, etag);
    }
    answer
}

/// Whether the client has this version already.
pub(super) fn matches(request: &HeaderMap, etag: &str) -> bool {
    let known =
        request.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)
}

//! What happens to every request: a name, checks of its head, a line in the log, a count.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, HOST, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, StatusCode, Version};

use crate::app::App;
use crate::problem::{Fault, Problem, Told};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Label of what no route matches, so that strangers cannot invent labels.
const NO_ROUTE: &str = "other";

/// Checks a request's head, has it answered, and tells log and metrics.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = app.clock.seconds();
    let id = app.request_id();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let method = request.method().clone();
    let mut answer = match check(&request, app.settings.bounds.head_bytes) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut refused = problem.into_response();
            // Where this request ends is not to be trusted either.
            refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            refused
        }
    };
    let status = answer.status();
    app.metrics.request(route, status.as_u16());
    let told = answer.extensions_mut().remove::<Told>();
    let (code, detail) = told.as_ref().map_or(("", ""), |told| (&*told.code, told.detail));
    let (server_error, status) = (status.is_server_error(), status.as_u16());
    let milliseconds = (app.clock.seconds() - start) * 1_000.0;
    // Neither query string nor address: one may hold a secret, the other is a person's.
    if server_error && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(request = id, %method, route, status, code, detail, milliseconds);
    } else {
        tracing::debug!(request = id, %method, route, status, code, detail, milliseconds);
    }
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// What the HTTP library lets through and this server does not.
fn check(request: &Request, head_bytes: usize) -> Result<(), Problem> {
    let uri = request.uri();
    let line = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if line > head_bytes {
        return Err(Problem::new(
            Fault::UriTooLarge,
            format!("the path is over {head_bytes} bytes"),
        ));
    }
    if fields_bytes(request.headers()) > head_bytes {
        let detail = format!("the header fields are over {head_bytes} bytes");
        return Err(Problem::new(Fault::HeadTooLarge, detail));
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || host.is_none() && request.version() == Version::HTTP_11 {
        return Err(Problem::new(Fault::Malformed, "the request needs one Host header"));
    }
    // Proxies and this server could otherwise differ about whom the request is for.
    if let (Some(authority), Some(host)) = (uri.authority(), host)
        && !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
    {
        return Err(Problem::new(Fault::Malformed, "Host header and request line differ"));
    }
    Ok(())
}

/// As on the wire: name, colon, space, value, line end.
fn fields_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

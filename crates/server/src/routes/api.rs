//! The JSON API: status, queries, tables. `{data, meta}` in every answer.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use crate::app::App;
use crate::live::{Ask, QueryAnswer, QueryRequest};
use crate::problem::{Fault, Problem};
use crate::{body, query as query_string};

/// Longest name of a table.
const TABLE_NAME_CHARS: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryBody {
    sql: String,
    min_seq: Option<u64>,
    limit: Option<u64>,
}

/// How far the tables are.
pub(crate) async fn status(State(app): Shared, request: Request) -> Result<Response, Problem> {
    app.rules.reader(request.headers())?;
    let status = app.live.status();
    Ok(envelope(json!(status), json!({ "version": env!("CARGO_PKG_VERSION") })))
}

/// The rows of a query.
pub(crate) async fn query(State(app): Shared, request: Request) -> Result<Response, Problem> {
    app.rules.reader(request.headers())?;
    let (parts, content) = request.into_parts();
    // A page of another site can send this type only after asking, and is told no then.
    if !is_json(&parts.headers) {
        return Err(Problem::new(Fault::MediaType, "the content type is not application/json"));
    }
    let bounds = &app.settings.bounds;
    let mut lease = app.memory.lease();
    let bytes =
        body::read(&parts.headers, content, bounds.query_bytes, bounds, &app.workers, &mut lease)
            .await?;
    let asked: QueryBody = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::new(Fault::Malformed, format!("the body is not a query: {error}")).hint(
            "send {\"sql\": \"select …\", \"min_seq\": 1, \"limit\": 100}; only sql is needed",
        )
    })?;
    rows(&app, Ask::Sql(asked.sql), asked.min_seq, asked.limit).await
}

/// The rows of a table.
pub(crate) async fn table(
    State(app): Shared,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    app.rules.reader(request.headers())?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let name = name.map(|Path(name)| name).unwrap_or_default();
    if name.is_empty() || name.len() > TABLE_NAME_CHARS || !name.bytes().all(plain) {
        return Err(Problem::new(
            Fault::TableUnknown,
            "a table's name is letters, digits and underscores",
        ));
    }
    let min_seq = number(request.uri(), "min_seq")?;
    let limit = number(request.uri(), "limit")?;
    rows(&app, Ask::Table(name), min_seq, limit).await
}

async fn rows(
    app: &Arc<App>,
    ask: Ask,
    min_seq: Option<u64>,
    limit: Option<u64>,
) -> Result<Response, Problem> {
    let bounds = &app.settings.bounds;
    let limit = match limit {
        None => bounds.answer_rows_default.min(bounds.answer_rows),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    if limit > bounds.answer_rows {
        return Err(Problem::new(
            Fault::Parameter,
            format!("`limit` is over {}", bounds.answer_rows),
        ));
    }
    let Ok(turn) = Arc::clone(&app.queries).try_acquire_owned() else {
        return Err(Problem::new(Fault::Busy, format!("{} queries are under way", bounds.queries)));
    };
    let start = app.clock.seconds();
    let request = QueryRequest { ask, min_seq, timeout: bounds.query_time, limit };
    let live = Arc::clone(&app.live);
    let work = tokio::task::spawn_blocking(move || {
        // Held until the query ends, also when nobody waits for it any more.
        let _turn = turn;
        live.query(&request)
    });
    let Ok(answered) = work.await else {
        return Err(Problem::new(Fault::Internal, "the query failed unexpectedly"));
    };
    let QueryAnswer { seq, columns, rows, truncated } = answered?;
    let meta = json!({
        "seq": seq,
        "columns": columns,
        "rows": rows.len(),
        "truncated": truncated,
        "elapsed_ms": ((app.clock.seconds() - start) * 1_000.0).round(),
    });
    Ok(envelope(Value::Array(rows), meta))
}

fn envelope(data: Value, meta: Value) -> Response {
    let text = json!({ "data": data, "meta": meta }).to_string();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// A number in the query string.
fn number(uri: &Uri, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query_string::value(uri.query().unwrap_or_default(), name) else {
        return Ok(None);
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        _ => Err(Problem::new(Fault::Parameter, format!("`{name}` is not a whole number"))),
    }
}

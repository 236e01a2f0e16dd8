//! Paths and what answers them.

mod api;
mod edge;
mod health;
pub(crate) mod names;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use crate::app::App;
use crate::problem::{Fault, Problem};

pub(crate) type Shared = axum::extract::State<Arc<App>>;

/// All routes of a server.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/query", post(api::query))
        .route("/api/v1/tables/{name}", get(api::table))
        .method_not_allowed_fallback(|| async {
            Problem::new(Fault::Method, "the path has other methods, see the Allow header")
        })
        .fallback(|| async { Problem::new(Fault::NotFound, "there is nothing at this path") })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), edge::observe))
        .with_state(app)
}

//! Paths and what answers them.

mod api;
mod collect;
mod edge;
mod events;
mod health;
pub(crate) mod names;
mod store;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use hyper::StatusCode;

use crate::app::App;
use crate::problem::{Fault, Problem};

pub(crate) type Shared = axum::extract::State<Arc<App>>;

/// All routes of a server.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(collection(&app))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/query", post(api::query))
        .route("/api/v1/tables/{name}", get(api::table))
        // gtag.js looks for these and does without.
        .route("/_/set_cookie", any(|| async { StatusCode::NOT_FOUND }))
        .route("/_/service_worker/{*rest}", any(|| async { StatusCode::NOT_FOUND }))
        .method_not_allowed_fallback(|| async {
            Problem::new(Fault::Method, "the path has other methods, see the Allow header")
        })
        .fallback(|| async { Problem::new(Fault::NotFound, "there is nothing at this path") })
        .layer(from_fn_with_state(Arc::clone(&app), edge::observe))
        .with_state(app)
}

/// The routes that take events: pages of other sites may call them, if listed.
fn collection(app: &Arc<App>) -> Router<Arc<App>> {
    let measurement = post(collect::measurement_protocol).options(collect::preflight);
    let validation = post(collect::validate).options(collect::preflight);
    let gtag = || get(collect::gtag).post(collect::gtag).options(collect::preflight);
    let mut router = Router::new()
        .route("/mp/collect", measurement)
        .route("/debug/mp/collect", validation)
        .route("/g/collect", gtag())
        .route("/v1/events", post(events::rows).options(collect::preflight))
        // gtag.js appends `/g/collect` to the address it is given, so that can hold a write key.
        .route(
            "/{key}/g/collect",
            get(collect::keyed_gtag).post(collect::keyed_gtag).options(collect::preflight),
        );
    for path in &app.settings.alias_paths {
        router = router.route(path, gtag());
    }
    router.layer(from_fn_with_state(Arc::clone(app), collect::cross_origin))
}

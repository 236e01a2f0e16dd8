//! Paths and what answers them.

mod api;
mod collect;
pub(crate) mod dashboard;
mod edge;
mod events;
mod health;
mod live;
pub(crate) mod names;
mod pages;
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
        .merge(dashboard_routes())
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

/// The dashboard: pages, their files, their answers.
fn dashboard_routes() -> Router<Arc<App>> {
    let mut router = Router::new()
        .route("/api/v1/conversions/{id}/explain", dashboard::about_one("explain"))
        .route("/api/v1/events/{id}", dashboard::about_one("event"))
        .route("/api/v1/nodes/{name}", dashboard::about_one("node"))
        .route("/api/v1/filters/{dim}", dashboard::about_one("filter"))
        .route("/api/v1/export/{report}", get(dashboard::export))
        .route("/api/v1/live", get(live::live))
        .route("/api/v1/openapi.json", get(dashboard::openapi))
        .route("/a/{build}/{*file}", get(pages::asset))
        .route("/licenses", get(pages::licences))
        .route("/", get(pages::page))
        .route("/live", get(pages::page))
        .route("/c/{id}", get(pages::page));
    for page in dashboard::PAGES {
        router = router.route(&format!("/api/v1/{page}"), get(dashboard::page));
        if page != "overview" {
            router = router.route(&format!("/{page}"), get(pages::page));
        }
    }
    router
}

/// The routes that take events: pages of other sites may call them, if listed.
fn collection(app: &Arc<App>) -> Router<Arc<App>> {
    if app.settings.read_only {
        return closed();
    }
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

/// The same paths on a server that only shows tables.
fn closed() -> Router<Arc<App>> {
    let paths =
        ["/mp/collect", "/debug/mp/collect", "/g/collect", "/v1/events", "/{key}/g/collect"];
    paths.into_iter().fold(Router::new(), |router, path| {
        router.route(
            path,
            any(|| async {
                Problem::new(Fault::NotFound, "this server only shows tables, it takes no events")
                    .hint("send them to a `clicktrail serve` that follows the stream, without --read-only")
            }),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::dashboard::{OPENAPI, PAGES};

    /// Paths as this file names them.
    fn routed() -> Vec<String> {
        let text = include_str!("routes.rs");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let parts = text.split('"').filter(|part| part.starts_with("/api/v1/"));
        let plain = parts.filter(|part| !part.contains("{page}")).map(str::to_owned);
        plain.chain(PAGES.map(|page| format!("/api/v1/{page}"))).collect()
    }

    #[test]
    fn every_route_of_the_api_is_described_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        let mut routed = routed();
        described.sort();
        routed.sort();
        assert_eq!(described, routed.iter().collect::<Vec<_>>());
    }
}

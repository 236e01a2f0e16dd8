//! The dashboard's pages: each one a few queries over the marts, all of one state, answered as JSON or CSV.
//!
//! | module | in → out |
//! |---|---|
//! | `conditions` | a page's keys → conditions and sums in SQL |
//! | `copies` | where copies of tables elsewhere come from, and how they stand |
//! | `keys` | keys of an address → what they mean, or all that are not understood |
//! | `reader` | one state of the tables: its last event, its days, its attribution models |
//! | `page` | a reader, keys → period, filters, envelope; sums that must be equal |
//! | `credit` | Overview, Models |
//! | `matrix` | how two attribution models differ |
//! | `paths` | Paths, and the steps that lists filter by |
//! | `lineage` | Lineage, one node of it |
//! | `lists` | conversions behind a number, values of a dimension, one event |
//! | `journey` | why one conversion was credited as it was |
//! | `offline` | pages from the tables of the last build |
//! | `shelf` | pages from the tables of the last build, opened anew when a build changes them; copies of tables elsewhere |
//! | `staged` | parts of queries that several panels read |
//! | `state` | Health, Settings |
//! | `table` | a page's table as CSV |
//! | `words` | rules, models and evidence in words |
//! | `rows` | Arrow → JSON |

mod conditions;
mod copies;
mod credit;
mod journey;
mod keys;
mod lineage;
mod lists;
mod matrix;
mod offline;
mod page;
mod paths;
mod reader;
mod rows;
mod shelf;
mod staged;
pub(crate) mod state;
mod table;
mod words;

use serde_json::Value;

use crate::workspace::Workspace;

#[cfg(feature = "bigquery")]
pub(crate) use copies::Origin;
pub use copies::{CopySettings, Refreshed};
pub use keys::PageKeyFault;
pub use page::PageFault;
pub(crate) use reader::Reader;
pub(crate) use rows::{Row, rows, text, whole};
pub use shelf::{Look, Shelf};
pub(crate) use state::{Outcomes, Things};

/// Events in memory as readers see them.
pub(crate) const LIVE_EVENTS: &str = "live_events";

/// Tables that pages read.
pub(crate) const TABLES: [&str; 6] = [
    "int_conversions",
    "int_sessions",
    "int_touchpoints",
    "int_journeys",
    "fct_credits",
    "int_users",
];

/// Tables that only Health reads, where they are there.
pub(crate) const LEDGERS: [&str; 3] = ["events_dead_letter", "rejected_rows", "restatements"];

/// Which page, of what, with which keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// `overview`, `models`, `paths`, `conversions`, `explain`, `event`, `node`, `filter`, `health`, `lineage`, `settings`.
    pub page: String,
    /// Which conversion, event, node or dimension.
    pub id: Option<String>,
    /// Keys of the address.
    pub query: Vec<(String, String)>,
}

/// A page's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PageResult {
    /// The state it was computed from.
    pub snapshot: String,
    /// `{data, meta}`.
    pub body: Value,
    /// Whether it says nothing that changes while the tables stay the same.
    pub fixed: bool,
}

impl PageResult {
    /// The page's table as CSV; `None` for a page without one.
    pub fn csv(&self, page: &str) -> Option<String> {
        table::of(page, &self.body["data"]).map(|table| table.csv())
    }

    /// The page's table as Markdown.
    pub fn markdown(&self, page: &str) -> Option<String> {
        table::of(page, &self.body["data"]).map(|table| table.markdown())
    }
}

/// Answers a page from one state of the tables.
pub(crate) fn answer(
    reader: &Reader,
    workspace: &Workspace,
    request: &PageRequest,
    things: &Things<'_>,
) -> Result<PageResult, PageFault> {
    let tests = things.outcomes.told(&workspace.project);
    let page = page::Page::open(reader, workspace, &request.page, &request.query, tests)?;
    let id = request.id.as_deref().unwrap_or_default();
    let body = match request.page.as_str() {
        "overview" => credit::overview(page),
        "models" => credit::models(page),
        "paths" => paths::paths(page),
        "conversions" => lists::list(page),
        "filter" => lists::values(page, id),
        "event" => lists::event(page, id),
        "explain" => journey::explain(page, id),
        "node" => lineage::node(page, id, things),
        "health" => state::health(page, things),
        "lineage" => lineage::lineage(page, things),
        "settings" => state::settings(page, things),
        other => Err(PageFault::NotFound(format!("there is no page `{other}`"))),
    }?;
    let fixed = !["health", "lineage", "node"].contains(&request.page.as_str());
    Ok(PageResult { snapshot: reader.snapshot.clone(), body, fixed })
}

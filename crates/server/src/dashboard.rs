//! What the server asks for the dashboard's pages: one answer for each page, all of one state of the tables.

use serde_json::Value;

use crate::live::QueryFailure;

/// The marts as pages see them. Knows what keys mean and which numbers belong on a page.
pub trait Dashboard: Send + Sync {
    /// Id of the newest state of the tables; `None` while there is none. Must be cheap.
    fn snapshot(&self) -> Option<String>;

    /// How far the work is that is done before there is one, as JSON; null afterwards.
    fn progress(&self) -> Value;

    /// Results of data tests as JSON counts; null before they ran. Must be cheap.
    fn tests(&self) -> Value;

    /// When the tests ended whose results pages tell, microseconds since 1970; 0 before any ran. They change without the
    /// tables, so that it is part of what a page is of.
    fn tested_at(&self) -> i64;

    /// A page's answer. May block: it is called on a thread for blocking work.
    ///
    /// # Errors
    /// [`PageFailure`].
    fn page(&self, ask: &PageAsk) -> Result<PageAnswer, PageFailure>;
}

/// Which page is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageAsk {
    /// `overview`, `models`, `paths`, `conversions`, `explain`, `event`, `node`, `filter`, `health`, `lineage`, `settings`.
    pub page: String,
    /// Which conversion, event, node or dimension.
    pub id: Option<String>,
    /// Keys of the address, decoded.
    pub query: Vec<(String, String)>,
    /// The page's table as CSV.
    pub csv: bool,
}

/// A page's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAnswer {
    /// The state it was computed from.
    pub snapshot: String,
    /// `{data, meta}` as JSON, or CSV.
    pub body: String,
    /// Whether it says nothing that changes while the tables stay the same.
    pub fixed: bool,
}

/// A key of an address that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadKey {
    /// The key.
    pub key: String,
    /// What it was given.
    pub value: String,
    /// What it takes.
    pub why: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageFailure {
    /// Keys that are not understood, all of them.
    Keys(Vec<BadKey>),
    /// Nothing has that id.
    NotFound(String),
    /// The state asked for is not kept any more.
    Expired,
    /// The tables are not there yet.
    NotReady,
    /// A query failed.
    Failed(QueryFailure),
}

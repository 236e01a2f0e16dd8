//! Parts of a page's queries that several of its panels read: computed once, told as one query each.

use clicktrail_engine::datafusion::Session;

use super::page::{Answer, Page};
use super::rows::Row;

/// Tables of a page's own.
pub(super) struct Staged {
    session: Session,
    /// Where they come from, so that the SQL of each panel can be told as a whole.
    origin: String,
}

impl Staged {
    /// Computes the named ones of `origin`: `with a as (…), b as (…)` over the tables.
    pub(super) fn new(page: &Page<'_>, origin: String, names: &[&str]) -> Answer<Self> {
        let session = page.reader.engine.single_threaded_session()?;
        for name in names {
            let (schema, rows) =
                page.reader.session.query(&format!("{origin} select * from {name}"))?;
            session.add_batches(name, schema, rows)?;
        }
        Ok(Self { session, origin })
    }

    /// Computes one more from those that are there; `body` is `name as (…)`.
    pub(super) fn then(mut self, name: &str, body: &str) -> Answer<Self> {
        let (schema, rows) = self.session.query(&format!("with {body} select * from {name}"))?;
        self.session.add_batches(name, schema, rows)?;
        self.origin = format!("{}, {body}", self.origin);
        Ok(self)
    }

    /// Runs a query over them.
    pub(super) fn ask(&self, page: &Page<'_>, id: &str, sql: &str) -> Answer<Vec<Row>> {
        let (_, rows) = self.session.query(sql)?;
        page.tell(id, &self.whole(sql));
        Ok(super::rows::rows(&rows)?)
    }

    /// A query over them as one over the tables.
    fn whole(&self, sql: &str) -> String {
        match sql.strip_prefix("with ") {
            Some(rest) => format!("{}, {rest}", self.origin),
            None => format!("{} {sql}", self.origin),
        }
    }
}

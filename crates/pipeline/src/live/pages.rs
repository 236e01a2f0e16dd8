//! The dashboard's pages from the live tables.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use clicktrail_project::SelectArgs;
use serde_json::Value;

use super::restated;
use super::service::Live;
use super::told::Listener;
use crate::dashboard::{
    LEDGERS, LIVE_EVENTS, Outcomes, PageFault, PageRequest, PageResult, Reader, TABLES, Things,
    answer,
};
use crate::error::Result;
use crate::report::{Reporter, Silent};
use crate::workspace::{RunRequest, Verb};

/// What the pages keep between requests.
#[derive(Default)]
pub(crate) struct Kept {
    reader: Option<Arc<Reader>>,
    pub(crate) outcomes: Outcomes,
}

impl Live {
    /// Id of the newest state of the tables; `None` until they are loaded. Changes whenever a number can.
    pub fn snapshot(&self) -> Option<String> {
        let status = self.status();
        (status.ready && status.failed.is_none())
            .then(|| format!("{:x}-{}", status.loaded_at, status.applied_seq))
    }

    /// Who is told of every round that brings new events.
    pub fn listen(&self, listener: Listener) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// Counts of test results; null before tests ran.
    pub fn tests(&self) -> Value {
        self.kept().outcomes.counts()
    }

    /// When the tests ended whose results pages tell, microseconds since 1970; 0 before any ran.
    pub fn tested_at(&self) -> i64 {
        self.kept().outcomes.tested_at()
    }

    /// Runs data and unit tests over the tables of the last build, for Health. Nothing is stored or built
    /// meanwhile, so that the tables are of one state.
    ///
    /// # Errors
    /// What keeps tests from running at all; tests that fail are no error.
    pub fn test(&self, reporter: &dyn Reporter) -> Result<()> {
        let request = RunRequest::new(Verb::Test);
        let selected = self.workspace().project.select(&request.select)?;
        let summary = {
            let _alone = self.alone();
            self.workspace().run_locked(&selected, &request, reporter)?
        };
        let fresh = self.workspace().freshness(&SelectArgs::default(), &Silent);
        let at = self.workspace().clock.now_micros();
        let mut kept = self.kept();
        kept.outcomes.add(at, &summary);
        if let Ok(fresh) = fresh {
            kept.outcomes.freshness = fresh.results;
        }
        Ok(())
    }

    /// A page. `stream` and `build` are what the server knows and Health and Settings show.
    ///
    /// # Errors
    /// [`PageFault`].
    pub fn page(
        &self,
        request: &PageRequest,
        stream: Value,
        build: Value,
    ) -> Result<PageResult, PageFault> {
        let (reader, status) = match request.page.as_str() {
            "health" => self.reader(true)?,
            _ => self.reader(false)?,
        };
        let outcomes = self.kept().outcomes.clone();
        let things =
            Things { outcomes: &outcomes, stream, rows: status.rows, off: Some(status.off), build };
        answer(&reader, self.workspace(), request, &things)
    }

    /// All tables at one frame. The reader of a state is shared by all pages of that state.
    fn reader(&self, with_ledgers: bool) -> Result<(Arc<Reader>, super::LiveStatus), PageFault> {
        let (snapshot, status, views, untold) = {
            let state = self.state();
            let status = self.status();
            let (Some(snapshot), Some(marts)) = (self.snapshot(), &state.marts) else {
                return Err(PageFault::NotReady);
            };
            if let Some(reader) =
                self.kept().reader.clone().filter(|reader| reader.snapshot == snapshot)
                && !with_ledgers
            {
                return Ok((reader, status));
            }
            let mut views = marts.views(|name| TABLES.contains(&name));
            views.push((LIVE_EVENTS.to_owned(), marts.events_view()));
            (snapshot, status, views, state.untold.clone())
        };
        let session = self.engine().session()?;
        let mut tables: BTreeSet<String> = BTreeSet::new();
        for (name, view) in views {
            view.show(&session, &name)?;
            tables.insert(name);
        }
        if with_ledgers {
            restated::add_ledger(&self.workspace().warehouse, &session, &untold)?;
            tables.insert(restated::TABLE.to_owned());
            for name in LEDGERS.into_iter().filter(|name| *name != restated::TABLE) {
                if let Some(table) = self.workspace().warehouse.snapshot(name)? {
                    session.add_table(name, &table)?;
                    tables.insert(name.to_owned());
                }
            }
        }
        let reader = Arc::new(Reader::new(snapshot, (self.engine().clone(), session), tables));
        if !with_ledgers {
            self.kept().reader = Some(Arc::clone(&reader));
        }
        Ok((reader, status))
    }
}

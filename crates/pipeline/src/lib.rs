//! From a manifest and an engine to results: runs, data tests, queries, documentation.

mod artifacts;
mod catalog;
mod clock;
mod dashboard;
mod debug;
mod docs;
mod engine;
mod erase;
mod error;
mod feeds;
mod fingerprint;
mod fit;
mod freshness;
mod live;
mod problem;
mod publish;
#[cfg(feature = "bigquery")]
mod remote;
mod report;
mod run;
mod warehouse;
mod what_if;
mod workspace;

pub use clicktrail_attribution::fit as fits;
pub use clock::{Clock, SystemClock, rfc3339};
pub use dashboard::{
    CopySettings, Look, PageFault, PageKeyFault, PageRequest, PageResult, Refreshed, Shelf,
};
pub use erase::{EraseReport, EraseRequest, ErasedTable};
pub use error::{Kind, PipelineError, Result};
pub use fit::{EventFit, FitReport, FitRequest, MIN_CONVERSIONS_DEFAULT, PathsFile, fit_file};
pub use live::{
    FollowSettings, Follower, Inlet, LetterFilter, Listener, Live, LiveMemory, LiveRows,
    LiveStatus, Release, Round, StreamEvent,
};
pub use publish::Published;
#[cfg(feature = "bigquery")]
pub use remote::{ImportApi, ImportRequest, Imported, SendBy, Sender, Sending, SentRows};
pub use report::{Cost, NodeResult, Problem, Reporter, RunPlan, RunSummary, Silent, Status};
pub use what_if::{WhatIfReport, WhatIfRequest};
pub use workspace::{
    Check, CompiledNode, QueryResult, RunRequest, Settings, ShowWhat, Verb, Workspace,
};

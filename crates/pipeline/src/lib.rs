//! From a manifest and an engine to results: runs, data tests, queries, documentation.

mod artifacts;
mod catalog;
mod clock;
mod debug;
mod docs;
mod error;
mod feeds;
mod fingerprint;
mod freshness;
mod live;
mod problem;
mod report;
mod run;
mod warehouse;
mod workspace;

pub use clock::{Clock, SystemClock, rfc3339};
pub use error::{Kind, PipelineError, Result};
pub use live::{FollowSettings, Follower, Inlet, Live, LiveRows, LiveStatus, Release};
pub use report::{NodeResult, Problem, Reporter, RunPlan, RunSummary, Silent, Status};
pub use workspace::{
    Check, CompiledNode, QueryResult, RunRequest, Settings, ShowWhat, Verb, Workspace,
};

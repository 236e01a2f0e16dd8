//! Live: events reach the marts without a build, and the marts always equal what a build would make.
//!
//! | module | in → out |
//! |---|---|
//! | `layout` | project → which models follow the stream, by which key, and which do not and why |
//! | `follow` | frames → rounds of `marts`, later the warehouse; by threads |
//! | `dead_letters` | refused events → their table |
//! | `global` | rows → a small model over all of them, such as the first loaded day |
//! | `keyed_rows` | rows in memory by key: appended, replaced, read |
//! | `marts` | raw rows → the touched persons computed again, every live table brought up to date |
//! | `narrow` | raw rows → only the leaves that models read |
//! | `offline` | what a build does for live: the log's rest into its table, changed figures into the ledger |
//! | `restated` | rows before and after → figures of past days that changed |
//! | `rows` | batches reduced, joined, compared |
//! | `service` | all of it behind one lock: apply, query, audit |
//! | `sums` | rows that go and come → a model of sums by group |
//! | `stream_table` | raw rows → the table `events_stream`, each frame exactly once |

mod dead_letters;
mod follow;
mod global;
mod keyed_rows;
mod layout;
pub(crate) mod marts;
mod narrow;
mod offline;
pub(crate) mod restated;
mod rows;
mod service;
pub(crate) mod stream_table;
mod sums;

pub(crate) use offline::{drain_log, keep_restated};

pub use follow::{FollowSettings, Follower, Inlet, Release};
pub use service::{Live, LiveRows, LiveStatus};

//! Live: events reach the marts without a build, and the marts always equal what a build would make.
//!
//! | module | in → out |
//! |---|---|
//! | `layout` | project → which models follow the stream, by which key, and which do not and why |
//! | `keyed_rows` | rows in memory by key: appended, replaced, read |
//! | `marts` | raw rows → the touched persons computed again, every live table brought up to date |
//! | `narrow` | raw rows → only the leaves that models read |
//! | `restated` | rows before and after → figures of past days that changed |
//! | `service` | all of it behind one lock: apply, query, audit |
//! | `stream_table` | raw rows → the table `events_stream`, each frame exactly once |

mod keyed_rows;
mod layout;
pub(crate) mod marts;
mod narrow;
pub(crate) mod restated;
mod service;
pub(crate) mod stream_table;

pub use service::{Live, LiveRows, LiveStatus};

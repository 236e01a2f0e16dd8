//! The embedded engine: Apache DataFusion with GA4's functions, over Delta Lake tables and feeds.

mod by_batch;
mod columns;
mod eager;
mod failure;
mod feed;
mod functions;
mod in_turn;
mod incremental;
mod leaves;
mod locality;
mod plan;
mod row_number;
mod rules;
mod session;
mod shared_ctes;
mod slot;

pub use feed::{Feed, FeedRows};
pub use incremental::{ChangedGroups, IncrementalSums};
pub use plan::{Plan, Prepared};
pub use session::{Embedded, EmbeddedSettings, Session};
pub use shared_ctes::{SharedCtes, share_ctes};
pub use slot::Slot;

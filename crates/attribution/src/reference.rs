//! The reference fold: the attribution rules in plain Rust, to judge the SQL models in tests.
//!
//! Written from the semantics and `docs/models.md` alone, never from a SQL file, so that a
//! mistake must be made twice to go unseen. [`fold`] takes rows of `stg_events` and answers what
//! the intermediate models and marts must hold; [`evidence`], [`event_key`] and [`order`] judge
//! the columns that `stg_events` derives from one row alone.
//!
//! Rows and channel rules stay outside: the caller brings a classifier and a calendar as closures
//! (see [`Settings`]).

mod conversions;
mod event;
pub mod event_key;
pub mod evidence;
mod fold;
mod identity;
mod ids;
mod journeys;
pub mod order;
mod output;
mod refunds;
mod reports;
mod sessions;
mod settings;
mod spend;
mod touches;

pub use event::{Event, Evidence, Position, SourceFields, Text};
pub use fold::fold;
pub use ids::{key_of, md5_hex, rendered};
pub use output::{
    Attribution, Conversion, Credit, DailyKey, DailyTotals, JourneyStep, PersonClick, Session,
    Touch,
};
pub use refunds::{Refund, RefundShare};
pub use reports::{Count, Influence, Reports, reports};
pub use settings::{Identity, IdentityRules, KeyEvent, OrderDedupeScope, Settings, TouchGrain};
pub use spend::{Spend, SpendKey, SpendTotals, spend_daily};

/// Channel of a visit without evidence `[2.7]`.
pub const DIRECT: &str = "Direct";
/// Channel of a conversion that nobody can be credited with `[2.7]`.
pub const NO_TOUCH: &str = "(no touch)";
/// Display value of a missing source, medium or campaign.
pub const NOT_SET: &str = "(not set)";

#[cfg(test)]
mod tests;

//! Attribution mathematics: who gets how much of a conversion, and the fold that judges the SQL.
//!
//! Pure functions over plain values: no files, no SQL, no async, no clock. Section numbers such
//! as `[2.5]` cite the attribution semantics; column names are those of `docs/models.md`.
//!
//! | room | in → out |
//! |---|---|
//! | [`credit`] | a total and weights → integer shares that sum exactly |
//! | [`mod@fit`] | counts of paths → Markov, Shapley, heuristics, with intervals |
//! | [`models`] | a journey → the micro-credits that each attribution model gives its touches |
//! | [`mod@reference`] | events → sessions, touches, conversions, credits, without SQL |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod credit;
mod error;
pub mod fit;
pub mod models;
pub mod reference;

pub use error::AttributionError;

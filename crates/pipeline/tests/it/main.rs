//! Acceptance: the library on the real sample, on generated exports and on broken ones.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod bad_input;
mod events;
mod fold;
mod fold_reports;
mod incremental;
mod live;
mod live_judge;
mod live_property;
mod live_store;
mod own_model;
mod sample;
mod staging;
mod support;

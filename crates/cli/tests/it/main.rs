//! Runs the real binary in fresh folders.

mod dashboard;
mod demo;
mod fits;
mod support;
mod tidy;
mod usage;

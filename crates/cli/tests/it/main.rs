//! Runs the real binary in fresh folders.

mod demo;
mod support;
mod tidy;
mod usage;

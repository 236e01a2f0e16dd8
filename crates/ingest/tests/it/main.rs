//! One integration binary: the public API on real and synthetic files.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod sample;

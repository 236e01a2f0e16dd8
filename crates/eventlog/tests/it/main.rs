//! The log from outside, on the real disk and on the simulated one.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod basics;
mod crash;
mod damage;
mod failures;
mod model;
mod process;
mod repairs;
mod stalls;

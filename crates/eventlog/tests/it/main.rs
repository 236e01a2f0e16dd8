//! The log from outside, on the real disk and on the simulated one.

mod basics;
mod crash;
mod damage;
mod failures;
mod model;
mod process;
mod repairs;

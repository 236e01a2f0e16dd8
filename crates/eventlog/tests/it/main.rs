//! The log from outside, on the real disk and on the simulated one.

mod basics;

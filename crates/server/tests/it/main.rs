//! A server on a real socket, from well-behaved clients to hostile ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod access;
mod acknowledged;
mod browsers;
mod client;
mod crowd;
mod durable;
mod head;
mod hostile;
mod logs;
mod reading;
mod routes;
mod stage;
mod start;

//! Sockets: how many connections there are, how long each may take, and how they end.

mod guard;
mod listener;
mod registry;

pub(crate) use self::listener::{Listener, Peer};

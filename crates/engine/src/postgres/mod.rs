//! Tables → PostgreSQL, all replaced by one transaction.
//!
//! | module | what it does |
//! |---|---|
//! | `connect` | settings of a target → a connection |
//! | `tls` | which servers are trusted; the stream under the protocol |
//! | `replace` | the transaction: what is there, what changes, the rows |
//! | `rows` | Arrow → the binary format of `COPY`; types |
//! | `fault` | errors, by what to do about them |
//!
//! Nothing is read back, and no model runs there: the embedded engine computes, PostgreSQL serves.

mod connect;
mod fault;
mod replace;
mod rows;
mod tls;

pub use connect::Settings;
pub use fault::{Fault, FaultKind};
pub use replace::{Change, Incoming, Placed, replace};
pub use tls::{Ssl, SslMode};

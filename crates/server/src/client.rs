//! The other end: sends events, reads status and rows. Blocking, over plain HTTP.
//!
//! A batch is sent until it is answered, and the answer is the same as if it had been sent once:
//! each carries an idempotency key, or producer and offset, so that a resend is recognised.

mod batch;
mod retry;
mod transport;

pub use self::batch::{BatchReceipt, Position, RejectedEvent};
pub use self::retry::Retry;
pub use self::transport::{Client, ClientSettings};

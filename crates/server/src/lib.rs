//! Events over HTTP into the durable log, and rows of the live tables out.
//!
//! This crate knows HTTP and nothing of SQL or files: the log comes in as [`Log`], the tables as
//! [`Live`], the time as [`Clock`]. Routes, limits and what a 204 promises are in the README.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use clicktrail_server::{Clock, Live, Log, Parts, ServerError, Settings, serve};
//! # async fn run(
//! #     log: Arc<dyn Log>, live: Arc<dyn Live>, clock: Arc<dyn Clock>,
//! # ) -> Result<(), ServerError> {
//! let server = serve(Settings::default(), Parts::new(log, live, clock)).await?;
//! println!("http://{}", server.address());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod access;
mod app;
mod body;
pub mod client;
mod clock;
mod dashboard;
mod error;
mod feed;
mod live;
mod log;
mod metrics;
mod net;
mod origin;
mod problem;
mod producer;
mod query;
mod rate;
mod recent;
mod routes;
mod secret;
mod server;
mod settings;
mod web;

pub use self::clock::Clock;
pub use self::dashboard::{BadKey, Dashboard, PageAnswer, PageAsk, PageFailure};
pub use self::error::{Kind, Result, ServerError};
pub use self::feed::{Feed, LiveEvent};
pub use self::live::{
    Ask, Column, Live, LiveStatus, QueryAnswer, QueryFailure, QueryFailureKind, QueryRequest,
};
pub use self::log::{Batch, Lines, Log, LogFigures, NoLog};
pub use self::producer::{PRODUCERS_MAX, ProducerMark};
pub use self::secret::{ACTIVE_SECRETS, SECRET_CHARS_MIN, SecretHash};
pub use self::server::{Parts, Server, serve};
pub use self::settings::{Access, Bounds, PORT_DEFAULT, Rate, Rates, Settings};
pub use self::web::dashboard_about;

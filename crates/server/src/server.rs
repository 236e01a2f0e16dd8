//! A server from its settings to its shutdown.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::clock::Clock;
use crate::dashboard::Dashboard;
use crate::error::{Result, ServerError};
use crate::feed::Feed;
use crate::live::Live;
use crate::log::Log;
use crate::net::Listener;
use crate::producer::ProducerMark;
use crate::routes;
use crate::settings::Settings;

/// What a server works with.
pub struct Parts {
    /// Where events go.
    pub log: Arc<dyn Log>,
    /// Where rows come from.
    pub live: Arc<dyn Live>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How far the producers were, as the log tells after a restart.
    pub producers: Vec<ProducerMark>,
    /// Answers of the dashboard's pages; without one there are none.
    pub dashboard: Option<Arc<dyn Dashboard>>,
    /// What the live stream tells.
    pub feed: Arc<Feed>,
}

impl Parts {
    /// With no producer known.
    pub fn new(log: Arc<dyn Log>, live: Arc<dyn Live>, clock: Arc<dyn Clock>) -> Self {
        let feed = Arc::new(Feed::new(Arc::clone(&clock)));
        Self { log, live, clock, producers: Vec::new(), dashboard: None, feed }
    }
}

/// A running server. Dropping it stops it as [`Server::shutdown`] does, without waiting.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    feed: Arc<Feed>,
}

/// Starts a server: when this returns, its address accepts connections.
///
/// # Errors
/// [`ServerError::Unprotected`] and [`ServerError::Setting`] for settings that can't be served,
/// [`ServerError::Bind`] for an address that can't be listened on.
#[allow(clippy::unused_async)] // Needs a runtime, which an async function makes plain.
pub async fn serve(settings: Settings, parts: Parts) -> Result<Server> {
    settings.check()?;
    let bind = |source| ServerError::Bind { address: settings.bind, source };
    let listener = Listener::bind(settings.bind, settings.bounds.clone()).map_err(bind)?;
    let address = listener.address().map_err(bind)?;
    let feed = Arc::clone(&parts.feed);
    let app = Arc::new(App::new(settings, parts, listener.open()));
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(listener.run(routes::router(app), stopped));
    tracing::info!(%address, "listening");
    Ok(Server { address, stop, task, feed })
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets open requests end within `shutdown_time`, and returns then.
    pub async fn shutdown(mut self) {
        // Readers of the live stream would hold their requests open.
        self.feed.close();
        self.stop.send_replace(true);
        // It ends early only by a panic, and then there is nothing left to wait for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

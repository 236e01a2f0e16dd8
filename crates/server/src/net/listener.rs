//! Takes connections, and serves each in a task of its own.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;

use super::guard::{Answer, Guarded, Patience, Serving};
use super::registry::{Admission, Registry};
use crate::settings::Bounds;

/// Connections that the system keeps until they are taken.
const BACKLOG: u32 = 1_024;

/// Header fields of a request. Browsers send about 20.
const HEADER_FIELDS_MAX: usize = 100;

/// Pause after a connection could not be taken, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Sent to a client for whom there is no room.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";

/// The other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// A socket that is listened on.
pub(crate) struct Listener {
    socket: TcpListener,
    registry: Arc<Registry>,
    bounds: Bounds,
}

impl Listener {
    pub(crate) fn bind(address: SocketAddr, bounds: Bounds) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Otherwise a server that is started again waits for the connections of its forerunner.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(BACKLOG)?, registry: Registry::new(), bounds })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Tells how many connections are open.
    pub(crate) fn open(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let registry = Arc::clone(&self.registry);
        move || registry.open()
    }

    /// Serves until `stop` is told, then lets open requests end for as long as the settings allow.
    pub(crate) async fn run(self, router: Router, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer, &router, &stop, &mut tasks).await,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while let Some(ended) = tasks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a connection failed");
                }
            }
        }
        drop(self.socket);
        let end = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.bounds.shutdown_time, end).await.is_err() {
            tracing::warn!(connections = tasks.len(), "requests were cut off by the shutdown");
        }
    }

    async fn admit(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        router: &Router,
        stop: &watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) {
        let Some(admission) = self.registry.admit(self.bounds.connections).await else {
            tracing::warn!("no room for another connection");
            // The socket's buffer is empty, so this either fits at once or never does.
            let _ = socket.into_std().and_then(|mut socket| socket.write(NO_ROOM));
            return;
        };
        // Answers are small and single: nothing is gained by waiting for more bytes.
        let _ = socket.set_nodelay(true);
        let (router, stop, bounds) = (router.clone(), stop.clone(), self.bounds.clone());
        tasks.spawn(serve(socket, peer, admission, router, stop, bounds));
    }
}

/// Serves one connection until it ends.
async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    router: Router,
    mut stop: watch::Receiver<bool>,
    bounds: Bounds,
) {
    let connection = Arc::clone(&admission.0);
    let patience =
        Patience { idle: bounds.idle_time, head: bounds.head_time, write: bounds.write_time };
    let io = TokioIo::new(Guarded::new(socket, Arc::clone(&connection), patience));
    let service = hyper::service::service_fn({
        let connection = Arc::clone(&connection);
        move |mut request: Request<Incoming>| {
            let serving = Serving::begin(&connection);
            request.extensions_mut().insert(Peer(peer));
            let mut router = router.clone();
            async move {
                let answer = router.call(request).await?;
                let answer = answer.map(|body| Answer { body, _serving: serving });
                Ok::<Response<Answer>, Infallible>(answer)
            }
        }
    });
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // The guarded socket has the clock: this one would run while a connection is idle, too.
            .header_read_timeout(None)
            .max_headers(HEADER_FIELDS_MAX)
            // Who says that nothing more comes may still read the answer.
            .half_close(true)
            // Request line and header fields; each has its own check in `routes::edge`.
            .max_buf_size((2 * bounds.head_bytes).max(8_192))
            .serve_connection(io, service)
    );
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            () = connection.evicted.notified() => break,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

//! A socket that gives up on clients who take too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::registry::{Connection, Phase};

/// Sent to a client that began a request's head and did not end it in time.
const HEAD_TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long each phase may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) write: Duration,
}

/// A socket with a clock for its phases. The body of a request has one of its own, see
/// [`crate::body`].
pub(super) struct Guarded<S> {
    socket: S,
    connection: Arc<Connection>,
    patience: Patience,
    reading: Pin<Box<Sleep>>,
    /// The change of phase that `reading` was set for.
    reading_for: Option<u64>,
    /// Runs while the client takes nothing of an answer.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub(super) fn new(socket: S, connection: Arc<Connection>, patience: Patience) -> Self {
        let reading = Box::pin(sleep(patience.idle));
        Self { socket, connection, patience, reading, reading_for: None, writing: None }
    }

    /// Whether the phase has lasted too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let patience = match self.connection.phase() {
            Phase::Idle => self.patience.idle,
            Phase::Head => self.patience.head,
            Phase::Busy => {
                self.connection.wake_when_idle(cx.waker());
                return Poll::Pending;
            }
        };
        let change = self.connection.changes();
        if self.reading_for != Some(change) {
            self.reading_for = Some(change);
            self.reading.as_mut().reset(Instant::now() + patience);
        }
        ready!(self.reading.as_mut().poll(cx));
        if self.connection.phase() == Phase::Head {
            // Nothing else is being written: the request is not even complete. Whether the client
            // still gets it does not matter.
            let _ = Pin::new(&mut self.socket).poll_write(cx, HEAD_TOO_SLOW);
        }
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Passes on what the socket says about writing, unless it has said nothing for too long.
    fn poll_writing<T>(
        &mut self,
        cx: &mut Context<'_>,
        said: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if said.is_ready() {
            self.writing = None;
            return said;
        }
        let patience = self.patience.write;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(writing.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_pending() {
            return self.poll_patience(cx).map(Err);
        }
        if buffer.filled().len() > before && self.connection.phase() == Phase::Idle {
            self.connection.enter(Phase::Head);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.wake_when_idle(cx.waker());
        let said = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.poll_writing(cx, said)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.wake_when_idle(cx.waker());
        let said = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.poll_writing(cx, said)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.socket).poll_flush(cx);
        self.poll_writing(cx, said)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.poll_writing(cx, said)
    }
}

/// Ends the busy phase when it is dropped.
pub(super) struct Serving(Arc<Connection>);

impl Serving {
    pub(super) fn begin(connection: &Arc<Connection>) -> Self {
        connection.enter(Phase::Busy);
        Self(Arc::clone(connection))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

/// The body of an answer. The request counts as served when it has been taken or given up.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _serving: Serving,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

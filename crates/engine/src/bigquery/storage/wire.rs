//! gRPC over HTTP/2: one connection, its calls, the messages of a call.
//!
//! Straight on `h2`: what is used of gRPC is a prefix of five bytes before each message and a status after the last.

use std::sync::Arc;
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::endpoint::Endpoint;
use super::status::Status;

/// Time for a connection to be made.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Time without a byte of an answer after which a connection counts as lost.
const SILENCE: Duration = Duration::from_secs(60);

/// Longest message that is taken: BigQuery's responses have 128 MB of rows at most.
const MESSAGE_BYTES_MAX: usize = 136 << 20;

/// Bytes that the other side may send before they are read here: keeps a fast line busy while rows are written to disk,
/// and is what a stream holds in memory at most besides the message at hand.
const WINDOW_BYTES: u32 = 4 << 20;

/// A connection to the service.
pub(super) struct Connection {
    requests: SendRequest<Bytes>,
    base: String,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Status> {
        let made = timeout(CONNECT_TIME, Self::made(endpoint)).await;
        made.map_err(|_| Status::lost(format!("{endpoint} does not answer")))?
    }

    async fn made(endpoint: &Endpoint) -> Result<Self, Status> {
        let lost = |error: std::io::Error| Status::lost(format!("{endpoint}: {error}"));
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
        let stream = stream.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let requests = if endpoint.tls {
            let name = ServerName::try_from(endpoint.host.clone()).map_err(Status::odd)?;
            let stream = tls()?.connect(name, stream).await.map_err(lost)?;
            shaken(stream).await?
        } else {
            shaken(stream).await?
        };
        Ok(Self { requests, base: endpoint.to_string() })
    }

    /// Begins a call.
    pub(super) async fn call(
        &self,
        path: &str,
        headers: &[(&str, String)],
    ) -> Result<Call, Status> {
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(Status::odd)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_2;
        let fixed =
            [("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", AGENT)];
        let own = headers.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            let name: HeaderName = name.parse().map_err(Status::odd)?;
            // The value may be a token, which no message shows.
            let mut value: HeaderValue = value
                .parse()
                .map_err(|_| Status::odd(format!("the header {name} has odd characters")))?;
            value.set_sensitive(name == http::header::AUTHORIZATION);
            request.headers_mut().insert(name, value);
        }
        let ready = timeout(SILENCE, self.requests.clone().ready()).await.map_err(|_| silent())?;
        let (answer, send) =
            ready.map_err(Status::lost)?.send_request(request, false).map_err(Status::lost)?;
        Ok(Call { send, answer: Some(answer), body: None, bytes: BytesMut::new() })
    }
}

const AGENT: &str = concat!("clicktrail/", env!("CARGO_PKG_VERSION"));

/// The greeting of HTTP/2; what comes afterwards is read by a task of its own.
async fn shaken<S>(stream: S) -> Result<SendRequest<Bytes>, Status>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (requests, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(Status::lost)?;
    // Its error, if any, is also that of the calls, which tell it.
    drop(tokio::spawn(connection));
    Ok(requests)
}

/// The same roots and the same cryptography as for REST.
fn tls() -> Result<TlsConnector, Status> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Status::odd)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A call: messages there, messages back, a status.
pub(super) struct Call {
    send: SendStream<Bytes>,
    answer: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// Received, and not yet a whole message.
    bytes: BytesMut,
}

impl Call {
    /// Sends a message, the `last` one or not.
    pub(super) fn send(&mut self, message: &impl Message, last: bool) -> Result<(), Status> {
        self.send.send_data(framed(message), last).map_err(Status::lost)
    }

    /// The next message of the answer; `None` after the last of an answer that ended well.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        timeout(SILENCE, self.next_message()).await.map_err(|_| silent())?
    }

    async fn next_message<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        if let Some(answer) = self.answer.take() {
            let answer = answer.await.map_err(Status::lost)?;
            if answer.status() != http::StatusCode::OK {
                return Err(Status::of_http(answer.status().as_u16()));
            }
            // An answer without messages has its status right here.
            if let Some(end) = ended(answer.headers())? {
                return end;
            }
            self.body = Some(answer.into_body());
        }
        let body = self.body.as_mut().ok_or_else(|| Status::lost("the call has ended"))?;
        loop {
            if let Some(message) = unframed(&mut self.bytes)? {
                return M::decode(message).map(Some).map_err(Status::odd);
            }
            match body.data().await {
                Some(data) => {
                    let data = data.map_err(Status::lost)?;
                    body.flow_control().release_capacity(data.len()).map_err(Status::lost)?;
                    self.bytes.extend_from_slice(&data);
                }
                None => {
                    let trailers = body.trailers().await.map_err(Status::lost)?.unwrap_or_default();
                    return match ended(&trailers)? {
                        Some(end) if self.bytes.is_empty() => end,
                        _ => Err(Status::lost("the answer ends in the middle")),
                    };
                }
            }
        }
    }
}

/// The end that headers tell, if they do.
fn ended<M>(headers: &HeaderMap) -> Result<Option<Result<Option<M>, Status>>, Status> {
    Ok(Status::of_trailers(headers)?.map(|status| match status.code {
        0 => Ok(None),
        _ => Err(status),
    }))
}

fn silent() -> Status {
    Status::lost(format!("no answer for {} s", SILENCE.as_secs()))
}

/// A message with its prefix: not compressed, and its length.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows as needed, so that this can't fail.
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// Takes a whole message out of what was received.
fn unframed(bytes: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some([compressed, length @ ..]) = bytes.first_chunk::<5>() else { return Ok(None) };
    if *compressed != 0 {
        return Err(Status::odd("the answer is compressed, which was not asked for"));
    }
    let length = u32::from_be_bytes(*length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(Status::odd(format!("a message of {length} bytes is too long")));
    }
    if bytes.len() < 5 + length {
        bytes.reserve(5 + length - bytes.len());
        return Ok(None);
    }
    bytes.advance(5);
    Ok(Some(bytes.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::super::messages::ReadStream;
    use super::*;

    #[test]
    fn messages_are_found_in_whatever_pieces_they_come() {
        let sent: Vec<ReadStream> =
            ["a", "", "long"].iter().map(|name| ReadStream { name: (*name).into() }).collect();
        let all: Vec<u8> = sent.iter().flat_map(|message| framed(message).to_vec()).collect();
        for size in 1..all.len() {
            let (mut bytes, mut found) = (BytesMut::new(), Vec::new());
            for piece in all.chunks(size) {
                bytes.extend_from_slice(piece);
                while let Some(message) = unframed(&mut bytes).unwrap() {
                    found.push(ReadStream::decode(message).unwrap());
                }
            }
            assert_eq!((found, bytes.len()), (sent.clone(), 0));
        }
    }

    #[test]
    fn odd_prefixes_are_refused() {
        assert!(unframed(&mut BytesMut::from(&[1u8, 0, 0, 0, 0][..])).is_err());
        assert!(unframed(&mut BytesMut::from(&[0u8, 255, 0, 0, 0][..])).is_err());
        assert_eq!(unframed(&mut BytesMut::from(&[0u8, 0, 0][..])), Ok(None));
    }
}

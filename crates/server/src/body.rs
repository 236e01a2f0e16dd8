//! Request bodies: bounded in size, in time, and in what they expand to.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, timeout_at};

use crate::problem::{Fault, Problem};
use crate::settings::Bounds;

/// Compressed bodies may grow to this size whatever their ratio: a few hundred equal rows are no
/// bomb.
const EXPANSION_FREE_BYTES: usize = 64 << 10;

/// A body is in memory as it came, as parsed events, and as lines for the log.
const COPIES: usize = 3;

/// Time given to a client who sends too much, so that it reads the answer before the connection
/// closes.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Bytes thrown away for the same reason.
const DRAIN_BYTES: usize = 16 << 20;

/// Bytes of all bodies that are held at one time.
pub(crate) struct Memory {
    held: Arc<AtomicUsize>,
    most: usize,
}

/// Some of that memory; given back when dropped.
pub(crate) struct Lease {
    held: Arc<AtomicUsize>,
    most: usize,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(most: usize) -> Self {
        Self { held: Arc::default(), most }
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { held: Arc::clone(&self.held), most: self.most, bytes: 0 }
    }
}

impl Lease {
    /// Takes more.
    ///
    /// # Errors
    /// [`Fault::Busy`] when other requests hold what there is.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let before = self.held.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > self.most {
            self.held.fetch_sub(bytes, Ordering::AcqRel);
            return Err(Problem::new(Fault::Busy, "too many bodies are being received"));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
}

fn packing(headers: &HeaderMap) -> Result<Packing, Problem> {
    let mut named = headers.get_all(CONTENT_ENCODING).iter();
    let Some(encoding) = named.next() else { return Ok(Packing::Plain) };
    let encoding = encoding.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    match (encoding.as_str(), named.next()) {
        ("identity" | "", None) => Ok(Packing::Plain),
        ("gzip" | "x-gzip", None) => Ok(Packing::Gzip),
        _ => {
            Err(Problem::new(Fault::MediaType, "the content encoding is neither gzip nor identity"))
        }
    }
}

/// Reads a body of at most `most` bytes, unpacked.
///
/// # Errors
/// [`Fault::Length`], [`Fault::TooLarge`], [`Fault::Slow`], [`Fault::MediaType`], [`Fault::Busy`]
/// or [`Fault::Malformed`].
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    bounds: &Bounds,
    workers: &Arc<Semaphore>,
    lease: &mut Lease,
) -> Result<Vec<u8>, Problem> {
    let packing = packing(headers)?;
    let declared = headers.get(CONTENT_LENGTH);
    if declared.is_none() && !headers.contains_key(TRANSFER_ENCODING) {
        return Err(Problem::new(Fault::Length, "neither a length nor chunks are announced"));
    }
    // The library has checked that it is a number; a number beyond 64 bits it has refused.
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        return Err(too_large(body, most).await);
    }
    // Taken before the first byte: who is let in is not turned away half-way for want of memory.
    let declared = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    lease.grow(declared * COPIES)?;
    let bytes = receive(body, most, declared, bounds, lease).await?;
    match packing {
        Packing::Plain => Ok(bytes),
        Packing::Gzip => unpack(bytes, most, bounds.expansion, workers, lease).await,
    }
}

async fn receive(
    mut body: Body,
    most: usize,
    declared: usize,
    bounds: &Bounds,
    lease: &mut Lease,
) -> Result<Vec<u8>, Problem> {
    let start = Instant::now();
    let mut bytes = Vec::new();
    loop {
        let kept_pace = bounds.body_grace
            + Duration::from_secs_f64(bytes.len() as f64 / bounds.body_pace as f64);
        let deadline = start + kept_pace.min(bounds.body_time);
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(Problem::new(Fault::Slow, "the body did not come in time")),
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(_))) => {
                return Err(Problem::new(
                    Fault::Malformed,
                    "the body ended early or is badly chunked",
                ));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > most {
                return Err(too_large(body, most).await);
            }
            if bytes.len() + data.len() > declared {
                lease.grow(data.len() * COPIES)?;
            }
            bytes.extend_from_slice(&data);
        }
    }
}

/// Takes some of what is still coming: a connection that is closed before would reset, and the
/// client would never read why.
async fn too_large(mut body: Body, most: usize) -> Problem {
    let drain = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, bytes::Bytes::len);
            if drained > DRAIN_BYTES {
                break;
            }
        }
    };
    // Whether it ended or not, the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    Problem::new(Fault::TooLarge, format!("the body is larger than {most} bytes"))
}

async fn unpack(
    packed: Vec<u8>,
    most: usize,
    expansion: usize,
    workers: &Arc<Semaphore>,
    lease: &mut Lease,
) -> Result<Vec<u8>, Problem> {
    let by_ratio = packed.len().saturating_mul(expansion).max(EXPANSION_FREE_BYTES);
    // What it expands to is not known before, so the most it could is taken.
    lease.grow(by_ratio.min(most) * COPIES)?;
    off_thread(workers, packed.len(), move || inflate(&packed, most, by_ratio)).await
}

fn inflate(packed: &[u8], most: usize, by_ratio: usize) -> Result<Vec<u8>, Problem> {
    let limit = most.min(by_ratio);
    let mut bytes = Vec::new();
    // One byte more tells "too large" from "just fits".
    let mut reader = MultiGzDecoder::new(packed).take(limit as u64 + 1);
    if reader.read_to_end(&mut bytes).is_err() {
        return Err(Problem::new(Fault::Malformed, "the body is not valid gzip"));
    }
    if bytes.len() <= limit {
        return Ok(bytes);
    }
    Err(if by_ratio < most {
        Problem::new(Fault::TooLarge, "the body expands to too many times its size")
            .hint("compress less, or send it uncompressed")
    } else {
        Problem::new(Fault::TooLarge, format!("the body expands to more than {most} bytes"))
    })
}

/// Bodies below this size are worked on at once: it takes less than changing threads.
const INLINE_BYTES: usize = 32 << 10;

/// Does work that grows with the size of a body where it does not hold up other requests.
pub(crate) async fn off_thread<T: Send + 'static>(
    workers: &Arc<Semaphore>,
    bytes: usize,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if bytes <= INLINE_BYTES {
        return work();
    }
    let Ok(turn) = Arc::clone(workers).acquire_owned().await else {
        return Err(Problem::new(Fault::Internal, "the workers are gone"));
    };
    let work = move || {
        let _turn = turn;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(Problem::new(Fault::Internal, "a worker failed")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_expands_too_much_is_refused() {
        let bomb = gzip(&vec![b'a'; 10 << 20]);
        let ratio = bomb.len() * 20;
        assert_eq!(inflate(&bomb, 20 << 20, ratio).unwrap_err().fault(), Fault::TooLarge);
        assert_eq!(inflate(&bomb, 1 << 20, 20 << 20).unwrap_err().fault(), Fault::TooLarge);
        assert_eq!(inflate(&gzip(b"abc"), 3, 1 << 10).unwrap(), b"abc");
        assert_eq!(inflate(&gzip(b"abcd"), 3, 1 << 10).unwrap_err().fault(), Fault::TooLarge);
    }

    #[test]
    fn damaged_gzip_is_malformed() {
        let whole = gzip(b"some text that is long enough");
        for cut in 0..whole.len() {
            let fault = inflate(&whole[..cut], 100, 100).unwrap_err().fault();
            assert_eq!(fault, Fault::Malformed, "cut at {cut}");
        }
        assert_eq!(inflate(b"not gzip at all", 100, 100).unwrap_err().fault(), Fault::Malformed);
    }

    #[test]
    fn memory_is_given_back() {
        let memory = Memory::new(10);
        let mut first = memory.lease();
        first.grow(6).unwrap();
        let mut second = memory.lease();
        assert_eq!(second.grow(5).unwrap_err().fault(), Fault::Busy);
        second.grow(4).unwrap();
        assert_eq!(memory.held(), 10);
        drop((first, second));
        assert_eq!(memory.held(), 0);
    }
}

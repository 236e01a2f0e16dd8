//! The exact bytes. All numbers are little-endian; the README has the tables.

use crate::Kind;

/// Version of the format that is written.
pub const VERSION: u32 = 1;

/// Bytes before the first frame of a segment.
pub const SEGMENT_HEADER_BYTES: usize = 64;

/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 64;

/// No payload is longer, whatever the settings say.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Bytes of the ack file.
pub(crate) const ACK_BYTES: usize = 64;

const SEGMENT_MAGIC: [u8; 8] = *b"CTRAILSG";
const ACK_MAGIC: [u8; 8] = *b"CTRAILAK";
const FRAME_MAGIC: [u8; 4] = *b"\xC7FRM";

/// Where the checksum of a segment header or an ack file is: after all it covers.
const CRC_AT: usize = 60;

/// The start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Number of the log, the same in all its files and frames.
    pub(crate) log_id: u64,
    /// Sequence number of the first frame, also the file's name.
    pub(crate) first_seq: u64,
    /// Checksum of the header of the frame before the first one.
    pub(crate) previous: u32,
    /// After a repair: the frames from here to `first_seq` (exclusive) are lost. Else 0.
    pub(crate) lost_from: u64,
}

/// Why a header or ack file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Too short, other magic or a wrong checksum.
    Bad,
    /// Intact, of a version we do not know.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, 0, &SEGMENT_MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.previous.to_le_bytes());
        put(&mut bytes, 16, &self.log_id.to_le_bytes());
        put(&mut bytes, 24, &self.first_seq.to_le_bytes());
        put(&mut bytes, 32, &self.lost_from.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unusable> {
        let bytes = sealed(bytes, SEGMENT_MAGIC)?;
        Ok(Self {
            previous: u32_at(bytes, 12),
            log_id: u64_at(bytes, 16),
            first_seq: u64_at(bytes, 24),
            lost_from: u64_at(bytes, 32),
        })
    }
}

/// What the ack file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Number of the log.
    pub(crate) log_id: u64,
    /// All frames up to here were synced.
    pub(crate) seq: u64,
}

impl Ack {
    pub(crate) fn encode(&self) -> [u8; ACK_BYTES] {
        let mut bytes = [0; ACK_BYTES];
        put(&mut bytes, 0, &ACK_MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 16, &self.log_id.to_le_bytes());
        put(&mut bytes, 24, &self.seq.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unusable> {
        let bytes = sealed(bytes, ACK_MAGIC)?;
        Ok(Self { log_id: u64_at(bytes, 16), seq: u64_at(bytes, 24) })
    }
}

/// All of a frame but its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) seq: u64,
    pub(crate) log_id: u64,
    /// All frames up to here were synced when this one was written.
    pub(crate) synced: u64,
    pub(crate) received_at: i64,
    pub(crate) rows: u32,
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
    /// Checksum of the header of the frame before: since that covers its payload's checksum and its
    /// own `previous`, the last frame vouches for all before it.
    pub(crate) previous: u32,
    /// Stored kind; a byte, since a later version may know more.
    pub(crate) kind: u8,
}

impl FrameHeader {
    /// Appends header and payload to a buffer and returns the header's checksum.
    pub(crate) fn encode(&self, payload: &[u8], buffer: &mut Vec<u8>) -> u32 {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put(&mut bytes, 0, &FRAME_MAGIC);
        put(&mut bytes, 8, &self.seq.to_le_bytes());
        put(&mut bytes, 16, &self.log_id.to_le_bytes());
        put(&mut bytes, 24, &self.synced.to_le_bytes());
        put(&mut bytes, 32, &self.received_at.to_le_bytes());
        put(&mut bytes, 40, &self.rows.to_le_bytes());
        put(&mut bytes, 44, &self.len.to_le_bytes());
        put(&mut bytes, 48, &self.payload_crc.to_le_bytes());
        put(&mut bytes, 52, &self.previous.to_le_bytes());
        bytes[56] = self.kind;
        let crc = crc32c::crc32c(&bytes[8..]);
        put(&mut bytes, 4, &crc.to_le_bytes());
        buffer.extend_from_slice(&bytes);
        buffer.extend_from_slice(payload);
        crc
    }
}

/// A frame as it stands in a segment: checksums hold, its place in the log is not yet judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) header: FrameHeader,
    /// Checksum of the header.
    pub(crate) crc: u32,
    pub(crate) payload: &'a [u8],
    /// Offset of the first byte after the frame.
    pub(crate) end: usize,
}

impl<'a> View<'a> {
    /// The frame that begins at `offset`.
    ///
    /// # Errors
    /// What is wrong with the bytes there.
    pub(crate) fn at(bytes: &'a [u8], offset: usize) -> Result<Self, &'static str> {
        let rest = bytes.get(offset..).unwrap_or_default();
        let Some(header) = rest.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err("the file ends inside a frame header");
        };
        if header[..4] != FRAME_MAGIC {
            return Err("no frame begins here");
        }
        let crc = u32_at(header, 4);
        if crc != crc32c::crc32c(&header[8..]) {
            return Err("the checksum of a frame header does not match");
        }
        let header = FrameHeader {
            seq: u64_at(header, 8),
            log_id: u64_at(header, 16),
            synced: u64_at(header, 24),
            received_at: i64::from_le_bytes(array_at(header, 32)),
            rows: u32_at(header, 40),
            len: u32_at(header, 44),
            payload_crc: u32_at(header, 48),
            previous: u32_at(header, 52),
            kind: header[56],
        };
        let len = header.len as usize;
        let Some(payload) = rest[FRAME_HEADER_BYTES..].get(..len) else {
            return Err("the file ends inside a payload");
        };
        if header.payload_crc != crc32c::crc32c(payload) {
            return Err("the checksum of a payload does not match");
        }
        Ok(Self { header, crc, payload, end: offset + FRAME_HEADER_BYTES + len })
    }

    /// The kind, when this version knows it.
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::from_byte(self.header.kind)
    }
}

/// Offset of the next bytes that could begin a frame, at or after `from`.
pub(crate) fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(FRAME_MAGIC.len()).position(|window| window == FRAME_MAGIC).map(|at| from + at)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn seal(bytes: &mut [u8; 64]) {
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    put(bytes, CRC_AT, &crc.to_le_bytes());
}

/// The 64 bytes, when magic, checksum and version are as they should be. Place of magic, version and
/// checksum are the same in all versions, so that a newer one is recognised as such.
fn sealed(bytes: &[u8], magic: [u8; 8]) -> Result<&[u8; 64], Unusable> {
    let bytes = bytes.first_chunk::<64>().ok_or(Unusable::Bad)?;
    if bytes[..8] != magic || u32_at(bytes, CRC_AT) != crc32c::crc32c(&bytes[..CRC_AT]) {
        return Err(Unusable::Bad);
    }
    match u32_at(bytes, 8) {
        VERSION => Ok(bytes),
        other => Err(Unusable::Version(other)),
    }
}

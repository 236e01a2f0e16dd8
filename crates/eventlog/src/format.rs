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

/// The 64 bytes, when magic, checksum and version are as they should be. Place of magic, version
/// and checksum are the same in all versions, so that a newer one is recognised as such.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of the README's tables, written down without the code above.
    fn fields(parts: &[(usize, &[u8])]) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (at, value) in parts {
            put(&mut bytes, *at, value);
        }
        bytes
    }

    #[test]
    fn checksums_are_crc_32c() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_frame_has_the_bytes_of_version_1() {
        let header = FrameHeader {
            seq: 0x0102,
            log_id: 0x0807_0605_0403_0201,
            synced: 0x0101,
            received_at: -2,
            rows: 25,
            len: 3,
            payload_crc: crc32c::crc32c(b"abc"),
            previous: 0xAABB_CCDD,
            kind: Kind::DeadLetters as u8,
        };
        let mut buffer = Vec::new();
        let crc = header.encode(b"abc", &mut buffer);
        let mut expected = fields(&[
            (0, &[0xC7, 0x46, 0x52, 0x4D]),
            (8, &[2, 1]),
            (16, &[1, 2, 3, 4, 5, 6, 7, 8]),
            (24, &[1, 1]),
            (32, &[0xFE, 255, 255, 255, 255, 255, 255, 255]),
            (40, &[25]),
            (44, &[3]),
            (48, &[0xB7, 0x3F, 0x4B, 0x36]),
            (52, &[0xDD, 0xCC, 0xBB, 0xAA]),
            (56, &[2]),
        ]);
        assert_eq!(crc, crc32c::crc32c(&expected[8..]));
        put(&mut expected, 4, &crc.to_le_bytes());
        assert_eq!(buffer, [&expected[..], b"abc"].concat());
        let view = View::at(&buffer, 0).unwrap();
        assert_eq!((view.header, view.crc, view.payload, view.end), (header, crc, &b"abc"[..], 67));
    }

    #[test]
    fn headers_have_the_bytes_of_version_1() {
        let sealed = |mut bytes: [u8; 64]| {
            let crc = crc32c::crc32c(&bytes[..60]);
            put(&mut bytes, 60, &crc.to_le_bytes());
            bytes
        };
        let header = SegmentHeader { log_id: 7, first_seq: 258, previous: 5, lost_from: 9 };
        let magic: &[u8] = b"CTRAILSG";
        let parts: [(usize, &[u8]); 6] =
            [(0, magic), (8, &[1]), (12, &[5]), (16, &[7]), (24, &[2, 1]), (32, &[9])];
        assert_eq!(header.encode(), sealed(fields(&parts)));
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        let ack = Ack { log_id: 7, seq: 258 };
        let parts: [(usize, &[u8]); 4] = [(0, b"CTRAILAK"), (8, &[1]), (16, &[7]), (24, &[2, 1])];
        assert_eq!(ack.encode(), sealed(fields(&parts)));
        assert_eq!(Ack::decode(&ack.encode()), Ok(ack));
        assert_eq!(Ack::decode(&header.encode()), Err(Unusable::Bad));
    }

    #[test]
    fn kinds_are_bytes_1_to_3() {
        let kinds = [Kind::Events, Kind::DeadLetters, Kind::Control];
        assert_eq!(kinds.map(|kind| kind as u8), [1, 2, 3]);
        assert!(kinds.iter().all(|kind| Kind::from_byte(*kind as u8) == Some(*kind)));
        assert!([0, 4, 255].iter().all(|byte| Kind::from_byte(*byte).is_none()));
    }
}

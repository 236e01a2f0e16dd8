//! md5 of many texts at once: eight side by side, a step of each at a time.
//!
//! The 64 steps of a block wait for each other, so one text alone leaves most of a core idle. Eight in step keep its vector
//! units busy, at a third of the time for each text. The keys of events are what costs most in staging, so this pays; crates
//! that do it are young or need `unsafe`.
//!
//! The steps are those of RFC 1321, section 3.

use wide::u32x8;

/// Texts that go side by side.
const LANES: usize = 8;

/// Bytes of a block.
const BLOCK: usize = 64;

/// A, B, C and D before the first block.
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// How far a step turns its sum, by round and by step within four.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The whole part of 2³² · |sin(step + 1)|, by fours of steps.
const SINES: [[u32; 4]; 16] = [
    [0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee],
    [0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501],
    [0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be],
    [0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821],
    [0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa],
    [0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8],
    [0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed],
    [0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a],
    [0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c],
    [0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70],
    [0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05],
    [0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665],
    [0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039],
    [0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1],
    [0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1],
    [0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391],
];

/// Texts that wait for their digests, each padded to whole blocks.
#[derive(Default)]
pub(super) struct Waiting {
    bytes: Vec<u8>,
    /// Where the last whole text ends, in bytes.
    end: usize,
    /// Where each text ends, in blocks.
    ends: Vec<usize>,
}

impl Waiting {
    /// Where the next text is appended.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the text that was appended.
    pub(super) fn finish(&mut self) {
        let length = (self.bytes.len() - self.end) as u64;
        self.bytes.push(0x80);
        let padded = (self.bytes.len() + 8).next_multiple_of(BLOCK);
        self.bytes.resize(padded - 8, 0);
        self.bytes.extend_from_slice(&(length * 8).to_le_bytes());
        self.end = padded;
        self.ends.push(padded / BLOCK);
    }

    /// Takes all texts, and gives their digests in order. A lane whose text has ended goes on with the next.
    pub(super) fn digests(&mut self) -> Vec<[u8; 16]> {
        let (blocks, _) = self.bytes.as_chunks::<BLOCK>();
        let mut digests = vec![[0; 16]; self.ends.len()];
        let mut state = START.map(u32x8::splat);
        let mut texts = self.ends.iter().enumerate();
        let mut next = 0;
        let mut take = || {
            let (index, &end) = texts.next()?;
            let start = std::mem::replace(&mut next, end);
            Some((index, start..end))
        };
        let mut lanes: [_; LANES] = std::array::from_fn(|_| take());
        while lanes.iter().any(Option::is_some) {
            let mut words = [[0; LANES]; 16];
            for (number, lane) in lanes.iter_mut().enumerate() {
                let Some((_, rest)) = lane else { continue };
                let block = &blocks[rest.start];
                rest.start += 1;
                for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
                    word[number] = u32::from_le_bytes(*bytes);
                }
            }
            block(&mut state, &words.map(u32x8::new));
            for (number, lane) in lanes.iter_mut().enumerate() {
                let Some((index, _)) = lane.take_if(|(_, rest)| rest.start == rest.end) else {
                    continue;
                };
                for (part, word) in digests[index].as_chunks_mut().0.iter_mut().zip(&state) {
                    *part = word.to_array()[number].to_le_bytes();
                }
                for (word, start) in state.iter_mut().zip(START) {
                    word.as_mut_array()[number] = start;
                }
                *lane = take();
            }
        }
        self.bytes.clear();
        self.ends.clear();
        self.end = 0;
        digests
    }
}

/// A block of each lane.
fn block(state: &mut [u32x8; 4], words: &[u32x8; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    let mut step = 0;
    // Sixteen steps: what mixes three words, which word of the block a step reads, and how far the four in turn turn.
    macro_rules! round {
        ($mix:expr, $word:expr, $turns:expr) => {
            for _ in 0..4 {
                let word = |ahead: usize| words[$word(step + ahead) % 16] + SINES[step / 4][ahead];
                a = b + turned::<{ $turns[0] }>(a + $mix(b, c, d) + word(0));
                d = a + turned::<{ $turns[1] }>(d + $mix(a, b, c) + word(1));
                c = d + turned::<{ $turns[2] }>(c + $mix(d, a, b) + word(2));
                b = c + turned::<{ $turns[3] }>(b + $mix(c, d, a) + word(3));
                step += 4;
            }
        };
    }
    round!(|x: u32x8, y, z| z ^ (x & (y ^ z)), |step| step, TURNS[0]);
    round!(|x: u32x8, y: u32x8, z| y ^ (z & (x ^ y)), |step| 5 * step + 1, TURNS[1]);
    round!(|x: u32x8, y, z| x ^ y ^ z, |step| 3 * step + 5, TURNS[2]);
    round!(|x: u32x8, y: u32x8, z: u32x8| y ^ (x | !z), |step| 7 * step, TURNS[3]);
    for (word, more) in state.iter_mut().zip([a, b, c, d]) {
        *word += more;
    }
}

/// Each lane's word, turned left.
#[inline(always)]
fn turned<const BITS: u32>(words: u32x8) -> u32x8 {
    (words << BITS) | (words >> (32 - BITS))
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};
    use proptest::prelude::*;

    use super::*;

    fn same(texts: &[Vec<u8>], waiting: &mut Waiting) {
        for text in texts {
            waiting.text().extend_from_slice(text);
            waiting.finish();
        }
        let one_by_one: Vec<[u8; 16]> = texts.iter().map(|text| Md5::digest(text).into()).collect();
        assert_eq!(waiting.digests(), one_by_one);
        assert!(waiting.digests().is_empty());
    }

    #[test]
    fn every_length_around_a_block() {
        let texts: Vec<Vec<u8>> = (0..200).map(|length| vec![b'x'; length]).collect();
        let mut waiting = Waiting::default();
        same(&texts, &mut waiting);
        same(&[], &mut waiting);
        same(&texts[55..58], &mut waiting);
    }

    proptest! {
        #[test]
        fn digests_are_those_of_one_by_one(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40),
        ) {
            let mut waiting = Waiting::default();
            same(&texts, &mut waiting);
            same(&texts, &mut waiting);
        }
    }
}

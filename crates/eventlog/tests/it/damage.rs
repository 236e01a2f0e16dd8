//! Damaged bytes: the log refuses them, or they were never acknowledged. Never silently fewer
//! frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clicktrail_eventlog::simulation::{Rng, SimDisk};
use clicktrail_eventlog::{
    FRAME_HEADER_BYTES, Frame, Log, LogError, Opened, SEGMENT_HEADER_BYTES, Settings, repair,
};

use crate::basics::entry;

pub(crate) const DIR: &str = "/log";
const QUARANTINE: &str = "/quarantine";

pub(crate) fn settings() -> Settings {
    Settings { segment_bytes: 500, ..Settings::default() }
}

pub(crate) fn open(disk: &SimDisk) -> Result<(Log, Opened), LogError> {
    Log::open(Arc::new(disk.clone()), Path::new(DIR), &settings())
}

pub(crate) fn frames(log: &Log) -> Vec<Frame> {
    log.frames(log.first_seq()).unwrap().map(Result::unwrap).collect()
}

/// A log of several segments; the last group has three frames. All is acknowledged.
pub(crate) fn sample() -> (SimDisk, Vec<Frame>) {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for n in 0..7_u8 {
        log.append(&[entry(vec![n; 80 + usize::from(n)])]).unwrap();
        log.sync().unwrap();
    }
    log.append(&[entry("a"), entry(""), entry("ccc")]).unwrap();
    log.sync().unwrap();
    let all = frames(&log);
    drop(log);
    assert_eq!((all.len(), segments(&disk).len()), (10, 4));
    (disk, all)
}

pub(crate) fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let paths = disk.paths().into_iter();
    paths.filter(|path| path.starts_with(DIR) && path.extension().is_some()).collect()
}

pub(crate) fn ack_file() -> PathBuf {
    Path::new(DIR).join("acked")
}

/// Which frame holds a byte of a segment; nothing for the segment's header.
pub(crate) fn frame_at(disk: &SimDisk, all: &[Frame], path: &Path, offset: usize) -> Option<u64> {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let mut seq: u64 = name.parse().unwrap();
    let mut end = SEGMENT_HEADER_BYTES;
    if offset < end || offset >= disk.read(path).unwrap().len() {
        return None;
    }
    loop {
        end += FRAME_HEADER_BYTES + all[usize::try_from(seq).unwrap() - 1].payload.len();
        if offset < end {
            return Some(seq);
        }
        seq += 1;
    }
}

/// Repairs a damaged copy and checks that nothing but the frame `hit` is lost, and that the report
/// says so.
fn repair_loses_only(damaged: &SimDisk, all: &[Frame], hit: Option<u64>) {
    let report = repair(damaged, Path::new(DIR), Path::new(QUARANTINE)).unwrap();
    let lost: Vec<u64> =
        report.losses.iter().filter_map(|loss| loss.lost.clone()).flatten().collect();
    assert_eq!(lost, hit.into_iter().collect::<Vec<_>>(), "{report:#?}");
    let (mut log, opened) = open(damaged).unwrap();
    let kept: Vec<Frame> = all.iter().filter(|frame| Some(frame.seq) != hit).cloned().collect();
    assert_eq!(frames(&log), kept);
    let replayed: Vec<Frame> = log.frames(1).unwrap().map(Result::unwrap).collect();
    assert_eq!(replayed, kept, "a checkpoint before the loss still fits");
    assert_eq!((opened.next_seq, report.next_seq), (11, 11), "numbers are not given again");
    assert_eq!((report.kept_frames, report.lost_frames()), (kept.len() as u64, lost.len() as u64));
    assert_eq!(log.append(&[entry("later")]).unwrap(), 11..=11);
    log.sync().unwrap();
    drop(log);
    let (log, _) = open(damaged).unwrap();
    assert_eq!(frames(&log).len(), kept.len() + 1);
}

#[test]
fn every_flipped_bit_is_refused_and_repair_loses_one_frame() {
    let (disk, all) = sample();
    for path in segments(&disk) {
        for offset in 0..disk.read(&path).unwrap().len() {
            for bit in 0..8 {
                let damaged = disk.copy(2);
                damaged.flip(&path, offset, bit);
                let error = open(&damaged).expect_err("the bit is covered by a checksum");
                let LogError::Damaged { path: file, first_seq, last_seq, .. } = &error else {
                    panic!("{error:?} for bit {bit} of byte {offset} of {}", path.display());
                };
                assert_eq!(*file, path);
                let hit = frame_at(&disk, &all, &path, offset);
                if let Some(hit) = hit {
                    assert_eq!((*first_seq, *last_seq), (hit, hit), "{error}");
                }
                assert!(error.hint().unwrap().contains("clicktrail repair"));
                if usize::from(bit) == offset % 8 {
                    repair_loses_only(&damaged, &all, hit);
                }
            }
        }
    }
}

#[test]
fn without_an_ack_file_only_the_last_group_is_in_doubt() {
    let (disk, all) = sample();
    disk.delete(&ack_file());
    for path in segments(&disk) {
        for offset in 0..disk.read(&path).unwrap().len() {
            let damaged = disk.copy(2);
            damaged.flip(&path, offset, 3);
            match open(&damaged) {
                Err(LogError::Damaged { .. }) => {}
                Err(error) => panic!("{error:?}"),
                Ok((log, opened)) => {
                    // Frames 8 to 10 are the last group.
                    assert!(frame_at(&disk, &all, &path, offset).unwrap() >= 8);
                    assert!(opened.truncated_tail.is_some(), "it is said that bytes were cut off");
                    let kept = frames(&log);
                    assert!(kept.len() >= 7);
                    assert_eq!(kept[..], all[..kept.len()]);
                }
            }
        }
    }
}

#[test]
fn a_damaged_ack_file_costs_nothing() {
    let (disk, all) = sample();
    for offset in 0..disk.read(&ack_file()).unwrap().len() {
        for bit in 0..8 {
            let damaged = disk.copy(2);
            damaged.flip(&ack_file(), offset, bit);
            let (log, opened) = open(&damaged).unwrap();
            assert_eq!((frames(&log), opened.truncated_tail), (all.clone(), None));
        }
    }
}

#[test]
fn every_file_cut_anywhere_is_refused() {
    let (disk, all) = sample();
    for path in segments(&disk) {
        let whole = disk.read(&path).unwrap();
        for len in 0..whole.len() {
            let damaged = disk.copy(2);
            damaged.put(&path, whole[..len].to_vec());
            let error = open(&damaged).expect_err("what is missing was acknowledged");
            assert!(
                matches!(error, LogError::Damaged { .. } | LogError::Missing { .. }),
                "{error:?}"
            );
            let before = frame_at(&disk, &all, &path, len).unwrap_or(0);
            let report = repair(&damaged, Path::new(DIR), Path::new(QUARANTINE)).unwrap();
            let (log, opened) = open(&damaged).unwrap();
            let kept = frames(&log);
            assert_eq!((opened.next_seq, kept.len() as u64), (11, report.kept_frames));
            assert_eq!(kept.len() as u64 + report.lost_frames(), 10, "{report:#?}");
            assert!(all.iter().take_while(|f| f.seq < before).all(|frame| kept.contains(frame)));
        }
    }
}

/// The sample with one more frame that was written and not synced.
fn with_unsynced() -> (SimDisk, PathBuf, usize) {
    let (disk, _) = sample();
    let (mut log, _) = open(&disk).unwrap();
    let path = segments(&disk).pop().unwrap();
    let end = disk.read(&path).unwrap().len();
    log.append(&[entry("not yet acknowledged")]).unwrap();
    drop(log);
    assert_eq!(segments(&disk).pop().unwrap(), path, "the segment must have room for this test");
    (disk, path, end)
}

#[test]
fn the_last_frame_cut_anywhere_is_a_torn_tail() {
    let (_, all) = sample();
    let (disk, path, end) = with_unsynced();
    let whole = disk.read(&path).unwrap();
    for len in end..=whole.len() {
        let cut = disk.copy(2);
        cut.put(&path, whole[..len].to_vec());
        let (mut log, opened) = open(&cut).unwrap();
        let torn = opened.truncated_tail.map(|tail| (tail.offset, tail.bytes));
        if len == whole.len() {
            assert_eq!((torn, opened.next_seq), (None, 12));
            continue;
        }
        let expected = (len > end).then_some((end as u64, (len - end) as u64));
        assert_eq!((torn, frames(&log)), (expected, all.clone()));
        assert_eq!(log.append(&[entry("sent again")]).unwrap(), 11..=11);
        log.sync().unwrap();
        drop(log);
        let (log, opened) = open(&cut).unwrap();
        assert_eq!((frames(&log).len(), opened.truncated_tail), (11, None));
    }
}

#[test]
fn every_flipped_byte_of_an_unsynced_frame_is_a_torn_tail() {
    let (_, all) = sample();
    let (disk, path, end) = with_unsynced();
    for offset in end..disk.read(&path).unwrap().len() {
        let damaged = disk.copy(2);
        damaged.flip(&path, offset, 6);
        let (log, opened) = open(&damaged).unwrap();
        assert_eq!((frames(&log), opened.truncated_tail.is_some()), (all.clone(), true));
    }
}

#[test]
fn garbage_and_zeros_behind_the_end_are_cut_off() {
    let (disk, all) = sample();
    let path = segments(&disk).pop().unwrap();
    let mut rng = Rng::new(7);
    for round in 0..300 {
        let mut bytes = disk.read(&path).unwrap();
        let end = bytes.len();
        let count = usize::try_from(1 + rng.below(5_000)).unwrap();
        let zeros = round % 3 == 0;
        bytes.extend((0..count).map(|_| if zeros { 0 } else { rng.number().to_le_bytes()[0] }));
        if round % 3 == 1 {
            // Looks like the start of a frame, again and again.
            let magic = bytes[SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES + 4].to_vec();
            bytes.splice(end.., magic.into_iter().cycle().take(count));
        }
        let longer = disk.copy(2);
        longer.put(&path, bytes);
        let (log, opened) = open(&longer).unwrap();
        let torn = opened.truncated_tail.unwrap();
        assert_eq!((torn.offset, torn.bytes, torn.whole_frames), (end as u64, count as u64, 0));
        assert_eq!(frames(&log), all);
    }
}

#[test]
fn a_missing_segment_is_refused() {
    let (disk, all) = sample();
    let paths = segments(&disk);
    for (index, path) in paths.iter().enumerate() {
        let damaged = disk.copy(2);
        damaged.delete(path);
        if index == 0 {
            // Like a released one: whoever has not got its frames elsewhere asks for them.
            let (log, opened) = open(&damaged).unwrap();
            assert!(opened.first_seq > 1);
            assert!(matches!(log.frames(1), Err(LogError::OutOfRange { .. })));
            continue;
        }
        let error = open(&damaged).unwrap_err();
        assert!(matches!(error, LogError::Missing { .. }), "{error:?}");
        let report = repair(&damaged, Path::new(DIR), Path::new(QUARANTINE)).unwrap();
        let (log, opened) = open(&damaged).unwrap();
        assert_eq!((opened.next_seq, report.lost_frames()), (11, 10 - frames(&log).len() as u64));
        assert!(frames(&log).iter().all(|frame| all.contains(frame)));
    }
    for path in &paths {
        disk.delete(path);
    }
    assert!(matches!(open(&disk), Err(LogError::Missing { last_seq: 10, .. })));
}

#[test]
fn files_of_other_logs_and_other_places_are_refused() {
    let (disk, _) = sample();
    let paths = segments(&disk);
    let other = SimDisk::new(99);
    open(&other).unwrap();
    let mixed = disk.copy(2);
    mixed.put(&paths[0], other.read(&paths[0]).unwrap());
    assert!(matches!(open(&mixed), Err(LogError::Foreign { .. })));
    let swapped = disk.copy(2);
    swapped.put(&paths[1], disk.read(&paths[2]).unwrap());
    assert!(matches!(open(&swapped), Err(LogError::Foreign { .. })));
}

#[test]
fn a_newer_version_is_refused_with_its_number() {
    let (disk, _) = sample();
    for path in [segments(&disk).remove(1), ack_file()] {
        let mut bytes = disk.read(&path).unwrap();
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        let newer = disk.copy(2);
        newer.put(&path, bytes);
        let error = open(&newer).unwrap_err();
        assert!(matches!(error, LogError::NewerVersion { found: 9, known: 1, .. }), "{error:?}");
        assert!(repair(&newer, Path::new(DIR), Path::new(QUARANTINE)).is_err());
    }
}

#[test]
fn a_payload_that_looks_like_a_frame_is_not_one() {
    let (disk, all) = sample();
    // A client that knows the format sends a frame with a high number that says all was synced.
    let other = SimDisk::new(99);
    let (mut log, _) = open(&other).unwrap();
    for _ in 0..30 {
        log.append(&[entry("x")]).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let newest = other.read(&segments(&other).pop().unwrap()).unwrap();
    let forged = newest[SEGMENT_HEADER_BYTES..].to_vec();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&[entry([forged, vec![0; 50]].concat())]).unwrap();
    drop(log);
    let path = segments(&disk).pop().unwrap();
    let bytes = disk.read(&path).unwrap();
    disk.put(&path, bytes[..bytes.len() - 10].to_vec());
    let (log, opened) = open(&disk).unwrap();
    assert!(opened.truncated_tail.is_some());
    assert_eq!(frames(&log), all);
}

#[test]
fn no_bytes_make_it_panic() {
    let (disk, _) = sample();
    let mut rng = Rng::new(5);
    for _ in 0..2_000 {
        let damaged = disk.copy(2);
        for _ in 0..=rng.below(6) {
            let paths = damaged.paths();
            let path = &paths[usize::try_from(rng.below(paths.len() as u64)).unwrap()];
            let mut bytes = damaged.read(path).unwrap();
            let at = usize::try_from(rng.below(bytes.len() as u64 + 1)).unwrap();
            match rng.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.splice(at.., []).for_each(drop),
                2 => bytes
                    .iter_mut()
                    .skip(at)
                    .take(9)
                    .for_each(|byte| *byte = rng.number().to_le_bytes()[0]),
                _ => drop(bytes.splice(at..at, vec![0xC7; 5])),
            }
            damaged.put(path, bytes);
        }
        if open(&damaged).is_err() {
            let report = repair(&damaged, Path::new(DIR), Path::new(QUARANTINE)).unwrap();
            let (log, opened) = open(&damaged).unwrap();
            assert_eq!(
                (frames(&log).len() as u64, opened.next_seq),
                (report.kept_frames, report.next_seq)
            );
        }
    }
}

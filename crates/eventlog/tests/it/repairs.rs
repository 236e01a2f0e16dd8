//! Repair: what it says, what it leaves alone, and that it may be interrupted anywhere.

use std::collections::BTreeSet;
use std::path::Path;

use clicktrail_eventlog::simulation::{Faults, Rng, SimDisk};
use clicktrail_eventlog::{LogError, repair};

use crate::basics::entry;
use crate::damage::{DIR, ack_file, frame_at, frames, open, sample, segments};

const QUARANTINE: &str = "/quarantine";

fn mend(disk: &SimDisk) -> Result<clicktrail_eventlog::RepairReport, LogError> {
    repair(disk, Path::new(DIR), Path::new(QUARANTINE))
}

#[test]
fn a_sound_log_is_left_alone() {
    let (disk, all) = sample();
    let before: Vec<_> = disk.paths().iter().map(|path| disk.read(path)).collect();
    let report = mend(&disk).unwrap();
    assert_eq!((report.losses.len(), report.kept_frames, report.next_seq), (0, 10, 11));
    assert_eq!(before, disk.paths().iter().map(|path| disk.read(path)).collect::<Vec<_>>());
    assert_eq!(frames(&open(&disk).unwrap().0), all);
}

#[test]
fn an_open_log_is_not_repaired() {
    let (disk, _) = sample();
    let _open = open(&disk).unwrap();
    assert!(matches!(mend(&disk), Err(LogError::Locked { .. })));
}

#[test]
fn damaged_bytes_are_set_aside_as_they_are() {
    let (disk, _) = sample();
    let path = segments(&disk).remove(0);
    disk.flip(&path, 70, 0);
    let damaged = disk.read(&path).unwrap();
    let report = mend(&disk).unwrap();
    let [loss] = &report.losses[..] else { panic!("{report:#?}") };
    assert_eq!((loss.offset, loss.bytes, loss.lost.clone()), (64, 144, Some(1..=1)));
    let aside = disk.read(loss.quarantined.as_ref().unwrap()).unwrap();
    assert_eq!(aside, damaged[64..208]);
    assert_eq!(mend(&disk).unwrap().losses, [], "once is enough");
}

#[test]
fn segments_without_damage_are_not_touched() {
    let (disk, _) = sample();
    let paths = segments(&disk);
    disk.flip(&paths[1], 90, 0);
    let before: Vec<_> = [0, 2, 3].map(|index: usize| disk.read(&paths[index])).to_vec();
    mend(&disk).unwrap();
    assert_eq!(before, [0, 2, 3].map(|index: usize| disk.read(&paths[index])).to_vec());
}

#[test]
fn a_seam_can_be_damaged_again() {
    let (disk, _) = sample();
    let paths = segments(&disk);
    disk.flip(&paths[1], 90, 0);
    mend(&disk).unwrap();
    for path in segments(&disk) {
        for offset in [20, 70] {
            let again = disk.copy(3);
            if offset < disk.read(&path).unwrap().len() {
                again.flip(&path, offset, 1);
                let report = mend(&again).unwrap();
                let (log, opened) = open(&again).unwrap();
                assert_eq!((opened.next_seq, frames(&log).len() as u64), (11, report.kept_frames));
                assert!(report.kept_frames >= 8, "{report:#?}");
            }
        }
    }
}

/// Damage in three segments, the newest among them, and an ack file that is gone.
fn badly_damaged() -> SimDisk {
    let (disk, _) = sample();
    let paths = segments(&disk);
    disk.flip(&paths[0], 80, 2);
    disk.flip(&paths[1], 10, 2);
    disk.flip(&paths[3], 100, 2);
    disk.delete(&paths[2]);
    disk
}

#[test]
fn an_interrupted_repair_is_done_again() {
    let whole = badly_damaged().copy(0);
    let report = mend(&whole).unwrap();
    let expected = frames(&open(&whole).unwrap().0);
    assert!(expected.len() >= 4, "{report:#?}");
    let calls = {
        let disk = badly_damaged().copy(0);
        mend(&disk).unwrap();
        disk.calls().all
    };
    for seed in 0..20 {
        for at in 1..=calls {
            let disk = badly_damaged().copy(seed);
            disk.set_faults(Faults { crash_at_call: Some(at), ..Faults::default() });
            assert!(mend(&disk).is_err());
            if seed % 4 == 0 {
                disk.kill()
            } else {
                disk.crash()
            }
            mend(&disk).unwrap();
            let (mut log, opened) = open(&disk).unwrap();
            assert_eq!((frames(&log), opened.next_seq), (expected.clone(), 11), "call {at}");
            log.append(&[entry("later")]).unwrap();
            log.sync().unwrap();
            assert!(
                disk.paths()
                    .iter()
                    .all(|path| path.extension().is_none_or(|ending| ending != "tmp"))
            );
        }
    }
}

#[test]
fn a_log_of_which_nothing_is_left_begins_after_what_was_acknowledged() {
    let (disk, _) = sample();
    for path in segments(&disk) {
        disk.put(&path, vec![0; 50]);
    }
    let report = mend(&disk).unwrap();
    assert_eq!((report.lost_frames(), report.kept_frames, report.next_seq), (10, 0, 11));
    let (log, opened) = open(&disk).unwrap();
    assert_eq!((opened.first_seq, opened.next_seq, frames(&log).len()), (11, 11, 0));
    assert_eq!(log.frames(5).unwrap().count(), 0);
}

#[test]
fn frames_cut_off_the_end_are_known_from_the_ack_file() {
    let (disk, _) = sample();
    let newest = segments(&disk).pop().unwrap();
    let bytes = disk.read(&newest).unwrap();
    disk.put(&newest, bytes[..bytes.len() - 1].to_vec());
    let kept = disk.copy(1);
    let report = mend(&kept).unwrap();
    assert_eq!((report.lost_frames(), report.next_seq), (1, 11));
    disk.delete(&ack_file());
    assert!(open(&disk).unwrap().1.truncated_tail.is_some());
}

#[test]
fn any_number_of_flipped_bits_costs_only_the_frames_they_are_in() {
    let mut rng = Rng::new(11);
    for _ in 0..1_500 {
        let (disk, all) = sample();
        let mut hit = BTreeSet::new();
        let paths = segments(&disk);
        for _ in 0..1 + rng.below(5) {
            let path = &paths[usize::try_from(rng.below(paths.len() as u64)).unwrap()];
            let len = disk.read(path).unwrap().len();
            let offset = usize::try_from(rng.below(len as u64)).unwrap();
            disk.flip(path, offset, 4);
            hit.extend(frame_at(&disk, &all, path, offset));
        }
        let report = mend(&disk).unwrap();
        let kept = frames(&open(&disk).unwrap().0);
        // Two flips of one bit cancel each other, so that a frame may be whole again.
        let untouched = all.iter().filter(|frame| !hit.contains(&frame.seq));
        assert!(untouched.clone().all(|frame| kept.contains(frame)), "{hit:?} {report:#?}");
        assert!(kept.iter().all(|frame| all.contains(frame)));
        assert_eq!((kept.len() as u64 + report.lost_frames(), report.next_seq), (10, 11));
    }
}

//! Repair: keeps every whole frame, sets damaged bytes aside, and says what is lost.
//!
//! Frames are copied as they are, never written anew, so that their checksums still vouch for them.
//! Where frames are lost a new segment begins, and its header says from which number on; a log with
//! such a seam opens again, one with an unexplained gap does not. Segments without damage are not
//! touched. A repair that is interrupted is done again from the start.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::ack;
use crate::disk::{Disk, write_all_at};
use crate::error::LogError;
use crate::format::SegmentHeader;
use crate::log::lock_dir;
use crate::recovery::{read_segment, survey};
use crate::shelf::segment_path;

mod plan;

use plan::{Piece, Plan, plan};

/// Ending of files that are being written.
const UNFINISHED: &str = ".tmp";

/// Bytes that could not be kept, or frames that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The segment.
    pub file: PathBuf,
    /// Where the bytes were.
    pub offset: u64,
    /// How many there were; 0 when frames are missing without a trace.
    pub bytes: u64,
    /// What was wrong with them.
    pub reason: &'static str,
    /// Sequence numbers known to be lost here. Nothing, when no frame was: a damaged segment
    /// header, or the end of a write that nobody was told about.
    pub lost: Option<RangeInclusive<u64>>,
    /// Where the bytes are now.
    pub quarantined: Option<PathBuf>,
}

/// What a repair found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// What was lost, in the order of the log. Empty when there was nothing to repair.
    pub losses: Vec<Loss>,
    /// Whole frames that the log still holds.
    pub kept_frames: u64,
    /// Lowest sequence number in the log.
    pub first_seq: u64,
    /// Sequence number of the next frame. Lost numbers are not given again.
    pub next_seq: u64,
}

impl RepairReport {
    /// How many frames are lost.
    pub fn lost_frames(&self) -> u64 {
        self.losses
            .iter()
            .filter_map(|loss| loss.lost.as_ref())
            .map(|lost| lost.end() - lost.start() + 1)
            .sum()
    }
}

/// Repairs the log in `dir`, so that it opens again. Damaged bytes are copied to files in
/// `quarantine`, which is created when there are any. A log without damage is left as it is; a torn
/// tail is no damage.
///
/// # Errors
/// [`LogError::Locked`], [`LogError::NewerVersion`], [`LogError::Foreign`], or what the disk says;
/// then the log may be repaired again, nothing more is lost.
pub fn repair(disk: &dyn Disk, dir: &Path, quarantine: &Path) -> Result<RepairReport, LogError> {
    let _lock = lock_dir(disk, dir)?;
    match survey(disk, dir) {
        Ok(_) => {}
        Err(LogError::Damaged { .. } | LogError::Missing { .. }) => {
            let mut plan = plan(disk, dir)?;
            set_aside(disk, quarantine, &mut plan)?;
            rewrite(disk, dir, &plan)?;
            return report(disk, dir, plan.losses);
        }
        Err(error) => return Err(error),
    }
    report(disk, dir, Vec::new())
}

/// Reads the log once more: what the report says is what is there.
fn report(disk: &dyn Disk, dir: &Path, losses: Vec<Loss>) -> Result<RepairReport, LogError> {
    let survey = survey(disk, dir)?;
    let first = survey.closed.first().map(|segment| segment.first_seq);
    let newest = survey.newest.as_ref().map(|newest| newest.first_seq);
    Ok(RepairReport {
        losses,
        kept_frames: survey.frames,
        first_seq: first.or(newest).unwrap_or(survey.next_seq),
        next_seq: survey.next_seq,
    })
}

/// Copies the damaged bytes to the quarantine folder.
fn set_aside(disk: &dyn Disk, quarantine: &Path, plan: &mut Plan) -> Result<(), LogError> {
    let mut any = false;
    for loss in plan.losses.iter_mut().filter(|loss| loss.bytes > 0) {
        disk.create_dir(quarantine).map_err(|error| LogError::write(quarantine, error))?;
        let bytes = read_segment(disk, &loss.file)?;
        let from = usize::try_from(loss.offset).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(loss.bytes).unwrap_or(usize::MAX));
        let damaged = bytes.get(from..to.min(bytes.len())).unwrap_or_default();
        let name = loss.file.file_name().unwrap_or_default().to_string_lossy();
        let path = quarantine.join(format!("{name}.{}.bytes", loss.offset));
        store(disk, &path, &[damaged])?;
        loss.quarantined = Some(path);
        any = true;
    }
    if any {
        disk.sync_dir(quarantine).map_err(|error| LogError::sync(quarantine, error))?;
    }
    Ok(())
}

/// Creates a file with all its bytes durable; its name is not yet.
fn store(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> Result<(), LogError> {
    let file = disk.create(path).map_err(|error| LogError::write(path, error))?;
    let mut at = 0;
    for part in parts {
        write_all_at(&*file, part, at).map_err(|error| LogError::write(path, error))?;
        at += part.len() as u64;
    }
    file.sync_data().map_err(|error| LogError::sync(path, error))
}

/// Puts the new segments in place. From the newest to the oldest: at each moment the older original
/// still holds what is not yet in place, and what is in both is read from the newer file only.
fn rewrite(disk: &dyn Disk, dir: &Path, plan: &Plan) -> Result<(), LogError> {
    for piece in &plan.pieces {
        let Piece { header, source } = piece;
        let mut frames = Vec::new();
        if let Some((source, range)) = source {
            frames = read_segment(disk, source)?;
            frames.truncate(range.end);
            frames.drain(..range.start.min(frames.len()));
        }
        store(disk, &unfinished_path(dir, header), &[&header.encode(), &frames])?;
    }
    let sync = || disk.sync_dir(dir).map_err(|error| LogError::sync(dir, error));
    for piece in plan.pieces.iter().rev() {
        let path = segment_path(dir, piece.header.first_seq);
        let from = unfinished_path(dir, &piece.header);
        disk.rename(&from, &path).map_err(|error| LogError::write(&path, error))?;
        sync()?;
    }
    for path in plan.emptied.iter().rev() {
        disk.remove(path).map_err(|error| LogError::write(path, error))?;
        sync()?;
    }
    let names = disk.list(dir).map_err(|error| LogError::read(dir, error))?;
    for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
        // Left behind by an earlier repair that was interrupted.
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| LogError::write(&path, error))?;
    }
    Ok(())
}

fn unfinished_path(dir: &Path, header: &SegmentHeader) -> PathBuf {
    let mut path = segment_path(dir, header.first_seq).into_os_string();
    path.push(UNFINISHED);
    path.into()
}

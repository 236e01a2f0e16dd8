//! The log thread: one group after the other is written, synced, acknowledged and handed on.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::counters::{Counters, Tally};
use crate::error::{AppendError, Busy, LogError};
use crate::log::Log;
use crate::queue::{Group, Queue};
use crate::shelf::Shelf;
use crate::{Entry, Frame};

/// Is told the sequence number of an entry once it is durable, or why it is not. Called once, on
/// the log thread or on the submitter's: it should only pass the message on.
pub type Done = Box<dyn FnOnce(Result<u64, AppendError>) + Send>;

/// Gets the frames of a group, in order, after they are durable and acknowledged. Called on the log
/// thread: what takes long here delays the next group.
pub type OnFrames = Box<dyn FnMut(Vec<Frame>) + Send>;

/// Is told why the log stopped for good, after all who waited were told. Called at most once.
pub type OnFatal = Box<dyn FnOnce(LogError) + Send>;

/// What the log thread and its handles share.
struct Shared {
    queue: Queue,
    durable: AtomicU64,
    tally: Arc<Tally>,
    shelf: Arc<Shelf>,
}

/// Hands entries to the log thread. Cheap to clone.
#[derive(Clone)]
pub struct Appender {
    shared: Arc<Shared>,
}

/// Owns the log thread. Dropping it stops the thread like [`Writer::stop`].
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Log, LogError>>>,
}

/// Starts the log thread.
///
/// # Errors
/// [`LogError::Failed`] when the system has no more threads.
pub fn start(
    log: Log,
    on_frames: OnFrames,
    on_fatal: OnFatal,
) -> Result<(Appender, Writer), LogError> {
    let shared = Arc::new(Shared {
        queue: Queue::new(log.settings().clone()),
        durable: AtomicU64::new(log.durable_seq()),
        tally: log.tally(),
        shelf: log.shelf(),
    });
    let theirs = shared.clone();
    let thread = thread::Builder::new()
        .name("eventlog".to_owned())
        .spawn(move || run(log, &theirs, on_frames, on_fatal))
        .map_err(|error| LogError::Failed { reason: format!("cannot start a thread: {error}") })?;
    Ok((Appender { shared: shared.clone() }, Writer { shared, thread: Some(thread) }))
}

impl Appender {
    /// Queues an entry. `done` is called once: with the sequence number after the entry is synced,
    /// or with the reason why it is not in the log. It may be called before this returns.
    ///
    /// # Errors
    /// [`Busy`] at once when the queue is full; then `done` is not called.
    pub fn submit(&self, entry: Entry, done: Done) -> Result<(), Busy> {
        let taken = self.shared.queue.push(entry, done);
        if taken.is_err() {
            self.shared.tally.busy();
        }
        taken
    }

    /// Bytes that wait or are being written.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queue.queued_bytes()
    }

    /// All frames up to here are durable.
    pub fn durable_seq(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// What the log did since it was opened.
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }
}

impl Writer {
    /// Writes what waits, syncs and ends the thread. Entries submitted from now on are answered
    /// with [`AppendError::Stopped`].
    ///
    /// # Errors
    /// [`LogError::Failed`] when the log had stopped after an error.
    pub fn stop(mut self) -> Result<Log, LogError> {
        self.shared.queue.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(result)) => result,
            _ => Err(LogError::Failed { reason: "the log thread panicked".to_owned() }),
        }
    }

    /// Deletes whole segments whose frames are all at most `up_to_seq`, on the caller's thread;
    /// says how many.
    ///
    /// # Errors
    /// What the disk says; the log goes on, and a later call tries again.
    pub fn release(&self, up_to_seq: u64) -> Result<usize, LogError> {
        self.shared.shelf.release(up_to_seq)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue.stop();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // Whoever drops the writer has no use for the log or its errors.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("durable_seq", &self.durable_seq()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// The log thread.
fn run(
    mut log: Log,
    shared: &Shared,
    mut on_frames: OnFrames,
    on_fatal: OnFatal,
) -> Result<Log, LogError> {
    // A callback that panics must not leave others without an answer.
    let ended = catch_unwind(AssertUnwindSafe(|| work(&mut log, shared, &mut on_frames)));
    let error = match ended {
        Ok(Ok(())) => match log.settle() {
            Ok(()) => return Ok(log),
            Err(error) => error,
        },
        Ok(Err(error)) => error,
        Err(_) => LogError::Failed { reason: "a callback of the log panicked".to_owned() },
    };
    let reason = error.to_string();
    shared.queue.fail(&reason);
    drop(log);
    on_fatal(error);
    Err(LogError::Failed { reason })
}

/// Group after group, until the queue ends.
fn work(log: &mut Log, shared: &Shared, on_frames: &mut OnFrames) -> Result<(), LogError> {
    let mut last = 0;
    while let Some(group) = shared.queue.next(last) {
        last = group.entries.len();
        let bytes = group.bytes;
        let frames = commit(log, shared, group)?;
        shared.queue.finished(bytes);
        if !frames.is_empty() {
            on_frames(frames);
        }
    }
    Ok(())
}

/// Writes and syncs a group, and answers all of it. Nothing is returned when there was no space.
fn commit(log: &mut Log, shared: &Shared, group: Group) -> Result<Vec<Frame>, LogError> {
    let Group { entries, replies, .. } = group;
    let stored = log.append(&entries).and_then(|seqs| log.sync().map(|()| seqs));
    let seqs = match stored {
        Ok(seqs) => seqs,
        Err(LogError::Full { .. }) => {
            for reply in replies {
                reply.answer(Err(AppendError::Full));
            }
            return Ok(Vec::new());
        }
        Err(error) => {
            // First the queue, so that whoever submits again is refused.
            let reason = error.to_string();
            shared.queue.fail(&reason);
            for reply in replies {
                reply.answer(Err(AppendError::Failed(reason.clone())));
            }
            return Err(error);
        }
    };
    shared.durable.store(log.durable_seq(), Ordering::Release);
    for (seq, reply) in seqs.clone().zip(replies) {
        reply.answer(Ok(seq));
    }
    Ok(seqs.zip(entries).map(|(seq, entry)| Frame::new(seq, entry)).collect())
}

//! All open connections, and which of them wait for a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// An idle connection has nothing to finish, so its task ends as soon as it runs.
const EVICTION_TIME: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// No byte of a next request has come.
    Idle = 0,
    /// A request's head has begun.
    Head = 1,
    /// A request is being served.
    Busy = 2,
}

/// One connection, as its socket, its requests and the registry see it.
pub(super) struct Connection {
    phase: AtomicU8,
    /// Counts changes of phase, so that a timer knows that it was set for an earlier one.
    changes: AtomicU64,
    /// Place among the idle ones, 0 when not idle.
    ticket: AtomicU64,
    /// Wakes the connection's task. The library does not read while it serves, so that nothing else
    /// would start the clock of the next phase.
    task: Mutex<Option<Waker>>,
    /// Told when it has to make room for another one.
    pub(super) evicted: Notify,
    registry: Arc<Registry>,
}

impl Connection {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Busy,
        }
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn enter(self: &Arc<Self>, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.changes.fetch_add(1, Ordering::AcqRel);
        let mut idle = self.registry.idle();
        idle.remove(&self.ticket.swap(0, Ordering::AcqRel));
        if phase == Phase::Idle {
            let ticket = self.registry.tickets.fetch_add(1, Ordering::Relaxed);
            self.ticket.store(ticket, Ordering::Release);
            idle.insert(ticket, Arc::clone(self));
        }
        drop(idle);
        if phase == Phase::Idle
            && let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            task.wake();
        }
    }

    /// Has the task woken when it is idle again.
    pub(super) fn wake_when_idle(&self, task: &Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
    }
}

/// All connections of a server.
#[derive(Default)]
pub(super) struct Registry {
    open: AtomicUsize,
    tickets: AtomicU64,
    /// Told when a place is free.
    freed: Notify,
    /// The idle ones by ticket: the first is idle for longest.
    idle: Mutex<BTreeMap<u64, Arc<Connection>>>,
}

impl Registry {
    pub(super) fn new() -> Arc<Self> {
        // Ticket 0 means none.
        Arc::new(Self { tickets: AtomicU64::new(1), ..Self::default() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Adds a connection, for one task at a time. At `most` connections the one idle for longest is
    /// closed first; `None` when none is idle.
    pub(super) async fn admit(self: &Arc<Self>, most: usize) -> Option<Admission> {
        if self.open() >= most {
            let (_, oldest) = self.idle().pop_first()?;
            oldest.evicted.notify_one();
            while self.open() >= most {
                timeout(EVICTION_TIME, self.freed.notified()).await.ok()?;
            }
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        let connection = Arc::new(Connection {
            phase: AtomicU8::new(Phase::Idle as u8),
            changes: AtomicU64::new(0),
            ticket: AtomicU64::new(0),
            task: Mutex::default(),
            evicted: Notify::new(),
            registry: Arc::clone(self),
        });
        connection.enter(Phase::Idle);
        Some(Admission(connection))
    }
}

/// An open connection's place; dropping it frees the place.
pub(super) struct Admission(pub(super) Arc<Connection>);

impl Drop for Admission {
    fn drop(&mut self) {
        let registry = &self.0.registry;
        registry.idle().remove(&self.0.ticket.swap(0, Ordering::AcqRel));
        registry.open.fetch_sub(1, Ordering::AcqRel);
        registry.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_idle_for_longest_makes_room() {
        let registry = Registry::new();
        let first = registry.admit(2).await.unwrap();
        let second = registry.admit(2).await.unwrap();
        first.0.enter(Phase::Head);
        first.0.enter(Phase::Busy);
        first.0.enter(Phase::Idle);
        let evicted = tokio::spawn(async move { second.0.evicted.notified().await });
        let third = registry.admit(2).await.unwrap();
        evicted.await.unwrap();
        assert_eq!(registry.open(), 2);
        first.0.enter(Phase::Busy);
        third.0.enter(Phase::Head);
        assert!(registry.admit(2).await.is_none(), "nobody is idle");
        drop((first, third));
        assert_eq!(registry.open(), 0);
        assert!(registry.idle().is_empty());
    }
}

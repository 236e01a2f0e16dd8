//! How long the allocator keeps memory that was freed before the system gets it back.

#![expect(
    unsafe_code,
    reason = "the allocator's options are C functions; its crate has no safe ones"
)]

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, in milliseconds: the crate names stable options only.
const PURGE_DELAY: mi_option_t = 15;

/// Longer than the rounds in which events come into the tables: each takes and frees hundreds of megabytes, and with the allocator's
/// own second a tenth of a server's time went into pages that had just been given back.
const KEPT_MILLIS: c_long = 10_000;

/// Has memory that was freed kept for ten seconds, for processes that need the same amount again and again. Peaks grow by a tenth, and
/// an idle process gives the rest back as before.
///
/// Only to be called while there is one thread.
pub(crate) fn keep_freed() {
    // SAFETY: writes one number that the allocator reads when memory is freed; nothing else does, as there is no other thread.
    unsafe { mi_option_set(PURGE_DELAY, KEPT_MILLIS) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    /// The number of the option is the C library's: after an update it may be another one.
    #[test]
    fn the_option_is_the_delay() {
        const DEFAULT_MILLIS: c_long = 1_000;
        // SAFETY: nextest runs each test in a process of its own; under `cargo test` other threads read a number at most.
        let before = unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(before, DEFAULT_MILLIS);
        keep_freed();
        // SAFETY: as above.
        assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, KEPT_MILLIS);
    }
}

//! Any workload, with any crashes: the same promises.

use clicktrail_eventlog::simulation::{Faults, SimDisk};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::crash::Model;

/// One life of a process: what it does, and how it ends.
#[derive(Debug, Clone)]
struct Life {
    seed: u64,
    steps: u32,
    crash_after_calls: Option<u64>,
    fail_sync_after: Option<u64>,
    full_after_writes: Option<u64>,
    short_percent: u64,
    power: bool,
}

fn life() -> impl Strategy<Value = Life> {
    (
        any::<u64>(),
        0..25_u32,
        proptest::option::of(1..120_u64),
        proptest::option::weighted(0.2, 1..30_u64),
        proptest::option::weighted(0.3, 1..40_u64),
        0..60_u64,
        any::<bool>(),
    )
        .prop_map(|(seed, steps, crash, sync, full, short_percent, power)| Life {
            seed,
            steps,
            crash_after_calls: crash,
            fail_sync_after: sync,
            full_after_writes: full,
            short_percent,
            power,
        })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_lives_lose_nothing(seed in any::<u64>(), lives in vec(life(), 1..6)) {
        let disk = SimDisk::new(seed);
        let mut model = Model::default();
        for life in lives {
            let calls = disk.calls();
            disk.set_faults(Faults {
                crash_at_call: life.crash_after_calls.map(|after| calls.all + after),
                fail_sync: life.fail_sync_after.map(|after| calls.syncs + after),
                full_at_write: life.full_after_writes.map(|after| calls.writes + after),
                short_percent: life.short_percent,
                ..Faults::default()
            });
            let faulty = life.fail_sync_after.or(life.full_after_writes).is_some();
            let worked = model.work(&disk, life.seed, life.steps);
            prop_assert!(worked.is_ok() || faulty || disk.is_down(), "{worked:?}");
            if life.power { disk.crash() } else { disk.kill() }
        }
        model.recovers(&disk, seed);
    }
}

use proptest::collection::vec;
use proptest::prelude::*;

use super::heuristics::{Heuristic, credits};
use super::markov::{Chain, RemovalEffects};
use super::shapley::{Worth, exact, sampled};
use super::*;

/// Paths as (steps, converted, lost, value).
type Rows = Vec<(Vec<u16>, u64, u64, i64)>;

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn build(rows: &Rows) -> PathCounts {
    let mut builder = PathCountsBuilder::default();
    for (steps, converted, lost, value) in rows {
        let numbers: Vec<u16> =
            steps.iter().map(|&step| builder.channel(NAMES[usize::from(step)]).unwrap()).collect();
        builder.add(&numbers, *converted, *lost, *value).unwrap();
    }
    builder.finish()
}

/// Paths written like `a>b`.
fn paths(rows: &[(&str, u64, u64)]) -> PathCounts {
    let mut builder = PathCountsBuilder::default();
    for (path, converted, lost) in rows {
        let steps: Vec<u16> = path.split('>').map(|name| builder.channel(name).unwrap()).collect();
        builder.add(&steps, *converted, *lost, *converted as i64 * MICROS).unwrap();
    }
    builder.finish()
}

fn effects(paths: &PathCounts, order: usize) -> RemovalEffects {
    let chain = Chain::new(paths, order).unwrap();
    chain.removal_effects(chain.counts()).unwrap()
}

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }
}

/// Section 5 of the attribution semantics.
#[test]
fn the_two_row_chain_has_its_known_answers() {
    let effects = effects(&paths(&[("a>b", 3, 1), ("a>c", 1, 1)]), 1);
    near(&[effects.conversion_probability], &[4.0 / 6.0], 1e-12);
    near(&effects.effects, &[1.0, 0.75, 0.25], 1e-12);
}

/// Section 5 of the attribution semantics.
#[test]
fn the_looped_chain_has_its_known_answers() {
    let looped = paths(&[("a>b>a", 2, 5), ("b>a", 3, 1), ("a", 4, 2), ("b", 1, 6)]);
    let effects = effects(&looped, 1);
    near(&[effects.conversion_probability], &[0.416_667], 1e-6);
    near(&effects.effects, &[0.938_889, 0.512_5], 1e-6);
}

/// With a memory as long as every path, the chain is the data: what is lost without a channel is
/// what its journeys brought, where no two paths share a beginning.
#[test]
fn a_chain_that_remembers_all_counts_journeys() {
    let rows = [("a>b>c", 6, 2), ("b>d", 3, 5), ("c", 1, 4)];
    let effects = effects(&paths(&rows), 3);
    near(&effects.effects, &[0.6, 0.9, 0.7, 0.3], 1e-12);
    near(&[effects.conversion_probability], &[10.0 / 21.0], 1e-12);
}

#[test]
fn a_longer_memory_sees_what_a_shorter_one_mixes() {
    // After `a>b` all convert, after `c>b` none does: order 1 can't tell the two apart.
    let rows = paths(&[("a>b", 8, 0), ("c>b", 0, 8)]);
    near(&effects(&rows, 1).effects, &[0.5, 1.0, 0.5], 1e-12);
    near(&effects(&rows, 2).effects, &[1.0, 1.0, 0.0], 1e-12);
}

#[test]
fn what_cannot_be_fitted_says_so() {
    let settings = FitSettings::default();
    let none = fit(&PathCounts::default(), FittedModel::Markov, &settings);
    assert_eq!(none, Err(AttributionError::NoPaths));
    let lost = fit(&paths(&[("a", 0, 3), ("b>a", 0, 4)]), FittedModel::Shapley, &settings);
    assert_eq!(lost, Err(AttributionError::NoConversions { journeys: 7 }));
    let wrong = FitSettings { order: 4, ..settings };
    let wrong = fit(&paths(&[("a", 1, 1)]), FittedModel::Markov, &wrong);
    assert_eq!(wrong, Err(AttributionError::BadOrder { order: 4 }));
    let many = exact(16, |_| Ok(0.0));
    assert!(matches!(many, Err(AttributionError::TooManyChannels { channels: 16, .. })));
}

#[test]
fn names_may_hold_any_character_and_journeys_without_touch_stay_apart() {
    let mut builder = PathCountsBuilder::default();
    let steps = [builder.channel("a > b").unwrap(), builder.channel("").unwrap()];
    builder.add(&steps, 2, 0, 5).unwrap();
    builder.add(&[], 7, 3, 11).unwrap();
    let counts = builder.finish();
    assert_eq!(counts.channels(), ["", "a > b"]);
    assert_eq!((counts.conversions(), counts.untouched(), counts.value_micros()), (2, 7, 5));
}

#[test]
fn little_data_is_marked_and_wide() {
    let counts = paths(&[("a", 400, 600), ("b", 9, 11), ("a>b", 3, 9)]);
    let fit = fit(&counts, FittedModel::Markov, &FitSettings::default()).unwrap();
    let [a, b] = &fit.channels[..] else { panic!("two channels") };
    assert!(!a.is_low_volume && b.is_low_volume);
    assert_eq!((b.converted, b.journeys), (12, 32));
    assert!(b.lower < b.share && b.share < b.upper, "{b:?}");
    assert!((b.upper - b.lower) / b.share > 5.0 * (a.upper - a.lower) / a.share, "{a:?} {b:?}");
    assert_eq!(fit.replicates, REPLICATES_DEFAULT);
}

/// The interval holds the true share about as often as it says.
#[test]
fn intervals_hold_the_truth() {
    let truth = paths(&[("a>b", 3000, 9000), ("b", 1500, 2500), ("c>a", 900, 4100)]);
    let settings = FitSettings { replicates: 60, ..FitSettings::default() };
    let whole = fit(&truth, FittedModel::Markov, &settings).unwrap();
    let mut inside = 0;
    for sample in 0..60 {
        let mut random = random::Random::new(99, sample);
        let mut builder = PathCountsBuilder::default();
        for name in truth.channels() {
            builder.channel(name).unwrap();
        }
        for path in truth.iter() {
            let mut draw = |count: u64| random.resampled(count / 10);
            builder.add(path.steps, draw(path.converted), draw(path.lost), 0).unwrap();
        }
        let again = fit(&builder.finish(), FittedModel::Markov, &settings).unwrap();
        let of_b = (&again.channels[1], whole.channels[1].share);
        inside += usize::from((of_b.0.lower..=of_b.0.upper).contains(&of_b.1));
    }
    // 95 % of 60 is 57; fewer than 50 has a chance below 1 in 3,000.
    assert!((50..=60).contains(&inside), "{inside} of 60");
}

#[test]
fn sampled_values_lie_within_their_error_of_exact_ones() {
    // A game without symmetry: the worth of a coalition is the square of its sum.
    let worth = |coalition: u64| {
        let sum: f64 = (0..12).filter(|k| coalition >> k & 1 == 1).map(|k| k as f64).sum();
        Ok(sum * sum)
    };
    let exact = exact(12, worth).unwrap();
    let sampled = sampled(12, 4000, 5, worth).unwrap();
    for (exact, sampled) in exact.iter().zip(&sampled) {
        let error = (exact - sampled.value).abs();
        assert!(error <= 4.0 * sampled.standard_error + 1e-9, "{exact} {sampled:?}");
    }
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    let values: Vec<f64> = sampled.iter().map(|value| value.value).collect();
    near(&[sum(&values)], &[66.0 * 66.0], 1e-6);
}

#[test]
fn more_channels_than_can_be_enumerated_are_sampled() {
    let mut builder = PathCountsBuilder::default();
    let names: Vec<String> = (0..20).map(|k| format!("channel {k:02}")).collect();
    for k in 0..20_usize {
        let steps = [k, (k * 7 + 3) % 20, (k * 3 + 1) % 20];
        let steps = steps.map(|k| builder.channel(&names[k]).unwrap());
        builder.add(&steps, 40 + k as u64, 900, 0).unwrap();
    }
    let counts = builder.finish();
    let settings = FitSettings { worth: Worth::Chain, permutations: 400, ..FitSettings::default() };
    let fit =
        fit(&counts, FittedModel::Shapley, &FitSettings { replicates: 5, ..settings }).unwrap();
    assert!(fit.channels.iter().all(|channel| channel.standard_error > 0.0));
    assert!(fit.channels.iter().all(|channel| channel.standard_error < 0.01));
    let sum: i64 = fit.channels.iter().map(|channel| channel.conversion_micros).sum();
    assert_eq!(sum, counts.conversions() as i64 * MICROS);
}

/// [2.27] Two touches keep the proportion of first to last; the middle's part is not handed over.
#[test]
fn heuristics_divide_as_their_rules_say() {
    let of =
        |path: &str, heuristic| credits(&paths(&[(path, 1, 0)]), heuristic).unwrap().conversions;
    let position = Heuristic::Position { weights: [30, 10, 60] };
    near(&of("a>b", position), &[1.0 / 3.0, 2.0 / 3.0], 1e-15);
    near(&of("a", position), &[1.0], 0.0);
    near(&of("a>b>c>d", position), &[0.3, 0.05, 0.05, 0.6], 1e-15);
    let decay = Heuristic::TimeDecay { half_life_steps: 1.0 };
    near(&of("a>b>c", decay), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0], 1e-14);
    near(&of("a>b>a", Heuristic::Linear), &[2.0 / 3.0, 1.0 / 3.0], 1e-15);
    near(&of("a>b>a>c", Heuristic::First), &[1.0, 0.0, 0.0], 0.0);
    near(&of("a>b>a>c", Heuristic::Last), &[0.0, 0.0, 1.0], 0.0);
}

fn rows() -> impl Strategy<Value = Rows> {
    let row = (vec(0_u16..6, 1..7), 0_u64..50, 0_u64..50, 0_i64..1_000_000_000);
    vec(row, 1..30).prop_filter("a conversion", |rows| rows.iter().any(|row| row.1 > 0))
}

fn settings() -> impl Strategy<Value = FitSettings> {
    (1_usize..=3, any::<bool>(), 0_usize..4, any::<u64>()).prop_map(
        |(order, chain, replicates, seed)| {
            let worth = if chain { Worth::Chain } else { Worth::Journeys };
            FitSettings { order, worth, replicates, seed, ..FitSettings::default() }
        },
    )
}

proptest! {
    /// Every model hands out all conversions and all of their value, to the millionth.
    #[test]
    fn fits_conserve(rows in rows(), settings in settings()) {
        let paths = build(&rows);
        for model in FittedModel::ALL {
            let fit = fit(&paths, model, &settings).unwrap();
            let sum = |of: fn(&ChannelFit) -> i64| fit.channels.iter().map(of).sum::<i64>();
            prop_assert_eq!(sum(|c| c.conversion_micros), paths.conversions() as i64 * MICROS);
            prop_assert_eq!(sum(|c| c.value_micros), paths.value_micros());
            let shares: f64 = fit.channels.iter().map(|c| c.share).sum();
            prop_assert!((shares - 1.0).abs() < 1e-12);
            prop_assert!(fit.channels.iter().all(|c| (0.0..=1.0).contains(&c.share)));
        }
        for heuristic in Heuristic::ALL {
            let credits = credits(&paths, heuristic).unwrap();
            let error = credits.conversions.iter().sum::<f64>() - paths.conversions() as f64;
            prop_assert!(error.abs() < 1e-9, "{heuristic:?} {error}");
            let value = credits.values.iter().sum::<f64>() - paths.value_micros() as f64 / 1e6;
            prop_assert!(value.abs() < 1e-6, "{heuristic:?} {value}");
        }
    }

    /// Equal journeys give equal bits, in whatever order and portions they come.
    #[test]
    fn fits_do_not_depend_on_order(
        rows in rows(),
        shuffled in any::<u64>(),
        settings in settings(),
    ) {
        // Each row in parts: its lost journeys, one conversion with half of the value, the others.
        let part = |(steps, converted, lost, value): &(Vec<u16>, u64, u64, i64)| {
            let one = (*converted > 0) as u64;
            let half = if *converted > 1 { value / 2 } else { *value };
            [(0, *lost, 0), (one, 0, half), (converted - one, 0, value - half)]
                .map(|(converted, lost, value)| (steps.clone(), converted, lost, value))
        };
        let mut other: Rows = rows.iter().flat_map(part).collect();
        let mut random = random::Random::new(shuffled, 0);
        for at in (1..other.len()).rev() {
            other.swap(at, random.below(at as u64 + 1) as usize);
        }
        let (one, other) = (build(&rows), build(&other));
        prop_assert_eq!(one.channels(), other.channels());
        for model in FittedModel::ALL {
            prop_assert_eq!(fit(&one, model, &settings), fit(&other, model, &settings));
        }
        for heuristic in Heuristic::ALL {
            prop_assert_eq!(credits(&one, heuristic), credits(&other, heuristic));
        }
    }

    /// What two threads read apart is what one reads.
    #[test]
    fn merged_builders_are_one(rows in rows(), cut in 0_usize..30) {
        let fill = |rows: &[(Vec<u16>, u64, u64, i64)]| {
            let mut builder = PathCountsBuilder::default();
            for (steps, converted, lost, value) in rows {
                let steps: Vec<u16> = steps
                    .iter()
                    .map(|&step| builder.channel(NAMES[usize::from(step)]).unwrap())
                    .collect();
                builder.add(&steps, *converted, *lost, *value).unwrap();
            }
            builder
        };
        let cut = cut.min(rows.len());
        let mut merged = fill(&rows[cut..]);
        merged.merge(&fill(&rows[..cut])).unwrap();
        let (one, other) = (build(&rows), merged.finish());
        prop_assert_eq!(one.channels(), other.channels());
        let list = |paths: &PathCounts| -> Vec<(Vec<u16>, u64, u64, i64)> {
            paths
                .sorted()
                .into_iter()
                .map(|at| paths.path(at))
                .map(|p| (p.steps.to_vec(), p.converted, p.lost, p.value_micros))
                .collect()
        };
        prop_assert_eq!(list(&one), list(&other));
    }

    /// [2.29] Repeats of a channel change no removal effect of order 1.
    #[test]
    fn compaction_keeps_effects_of_order_one(rows in rows()) {
        let paths = build(&rows);
        let (whole, compact) = (effects(&paths, 1), effects(&paths.compacted().unwrap(), 1));
        let difference = whole.conversion_probability - compact.conversion_probability;
        prop_assert!(difference.abs() < 1e-12);
        for (one, other) in whole.effects.iter().zip(&compact.effects) {
            prop_assert!((one - other).abs() < 1e-11, "{one} {other}");
        }
    }

    /// The chain of all orders absorbs as many journeys as converted.
    #[test]
    fn the_chain_converts_what_converted(rows in rows(), order in 1_usize..=3) {
        let paths = build(&rows);
        let probability = effects(&paths, order).conversion_probability;
        prop_assert!((probability - paths.conversion_probability()).abs() < 1e-11);
    }

    /// Efficiency, symmetry, dummy, and the closed form of the usual worth.
    #[test]
    fn shapley_values_keep_the_axioms(rows in rows()) {
        let paths = build(&rows);
        let players = paths.channels().len();
        let inside = |coalition: u64, steps: &[u16]| steps.iter().all(|&s| coalition >> s & 1 == 1);
        let worth = |coalition: u64| {
            let kept = paths.iter().filter(|path| inside(coalition, path.steps));
            Ok(kept.map(|path| path.converted as f64).sum())
        };
        let values = exact(players, worth).unwrap();
        let sum: f64 = values.iter().sum();
        prop_assert!((sum - paths.conversions() as f64).abs() < 1e-8);
        let settings = FitSettings { replicates: 0, ..FitSettings::default() };
        let closed = fit(&paths, FittedModel::Shapley, &settings).unwrap();
        for (value, channel) in values.iter().zip(&closed.channels) {
            prop_assert!((value - channel.weight).abs() < 1e-8, "{value} {channel:?}");
        }
        // A dummy adds nothing anywhere; twins add the same everywhere.
        let with_dummy = exact(players + 1, |c| worth(c & !(1 << players))).unwrap();
        prop_assert!(with_dummy[players].abs() < 1e-9);
        let twins = exact(players + 1, |coalition| {
            let first = coalition & 1 | coalition >> players & 1;
            worth(coalition & !(1 << players) & !1 | first)
        }).unwrap();
        prop_assert!((twins[0] - twins[players]).abs() < 1e-9);
    }

    /// The chain's worth shares all conversions, and a channel without conversions gets nothing.
    #[test]
    fn the_chain_as_a_game_is_efficient(rows in rows()) {
        let mut rows = rows;
        rows.push((vec![7], 0, 9, 0));
        let paths = build(&rows);
        let settings =
            FitSettings { worth: Worth::Chain, replicates: 0, ..FitSettings::default() };
        let fit = fit(&paths, FittedModel::Shapley, &settings).unwrap();
        let sum: f64 = fit.channels.iter().map(|channel| channel.weight).sum();
        prop_assert!((sum - paths.conversions() as f64).abs() < 1e-7);
        prop_assert!(fit.channels.iter().any(|c| c.channel == "h" && c.weight.abs() < 1e-9));
    }
}

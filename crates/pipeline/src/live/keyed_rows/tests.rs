use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use clicktrail_engine::datafusion::Feed as _;
use proptest::prelude::*;

use super::super::tiers::LiveMemory;
use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("value", DataType::Int64, true),
        Field::new("text", DataType::Utf8View, true),
    ]))
}

fn batch(values: &[i64]) -> RecordBatch {
    let texts = values.iter().map(|value| format!("a text of more than twelve bytes {value}"));
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from(values.to_vec())),
            Arc::new(StringViewArray::from_iter_values(texts)),
        ],
    )
    .unwrap()
}

fn values(batches: &[RecordBatch]) -> Vec<i64> {
    let mut values: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    values.sort_unstable();
    values
}

/// Everything in memory, or as much as can be on disk.
fn tiers(dir: &std::path::Path, is_small: bool) -> Tiers {
    let small = LiveMemory {
        hot_rows: 20,
        spill_rows: 5,
        load_rows: 16,
        block_rows: 4,
        merge_rows: 30,
        parts: 2,
    };
    Tiers::open(dir, if is_small { small } else { LiveMemory::default() }).unwrap()
}

fn all(view: &View) -> Vec<i64> {
    values(&view.batches().collect::<Result<Vec<_>, _>>().unwrap())
}

/// As a query reads them: in parts, one column only.
fn parts(view: &View) -> Vec<i64> {
    let columns = ["value".to_owned()];
    let parts = (0..view.partitions()).flat_map(|part| view.read(part, &columns).unwrap());
    values(&parts.collect::<Result<Vec<_>, _>>().unwrap())
}

#[derive(Debug, Clone)]
enum Change {
    Append(Vec<(u32, i64)>),
    Replace(Vec<(u32, i64)>),
    Warm(Vec<u32>),
    /// The merge that runs is waited for.
    Settle,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let rows = || prop::collection::vec((0u32..40, any::<i64>()), 0..30);
    let change = prop_oneof![
        4 => rows().prop_map(Change::Append),
        4 => rows().prop_map(Change::Replace),
        2 => prop::collection::vec(0u32..50, 0..5).prop_map(Change::Warm),
        1 => Just(Change::Settle),
    ];
    prop::collection::vec(change, 1..120)
}

type Model = BTreeMap<u32, Vec<i64>>;

fn change(rows: &mut KeyedRows, model: &mut Model, change: Change) {
    let apart = |rows: &[(u32, i64)]| -> (Vec<u32>, RecordBatch) {
        let (keys, values): (Vec<u32>, Vec<i64>) = rows.iter().copied().unzip();
        (keys, batch(&values))
    };
    let new = match change {
        Change::Append(new) => {
            let (keys, batch) = apart(&new);
            rows.append(&batch, keys).unwrap();
            new
        }
        Change::Replace(new) => {
            let (keys, batch) = apart(&new);
            keys.iter().for_each(|key| {
                model.remove(key);
            });
            rows.replace(&keys.clone(), &batch, keys).unwrap();
            new
        }
        Change::Warm(keys) => {
            rows.warm(&keys).unwrap();
            for key in keys {
                assert_eq!(rows.places(key).len(), model.get(&key).map_or(0, Vec::len));
            }
            Vec::new()
        }
        Change::Settle => {
            rows.cold.settle().unwrap();
            Vec::new()
        }
    };
    for (key, value) in new {
        model.entry(key).or_default().push(value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever was loaded, appended, replaced, moved and merged, each key has the rows that a plain map has.
    #[test]
    fn behaves_like_a_map(
        is_small: bool,
        loaded in prop::collection::vec(prop::collection::vec((0u32..40, any::<i64>()), 0..12), 0..6),
        changes in changes(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), is_small));
        for part in loaded {
            let (keys, values): (Vec<u32>, Vec<i64>) = part.iter().copied().unzip();
            rows.load(batch(&values), keys).unwrap();
            for (key, value) in part {
                model.entry(key).or_default().push(value);
            }
        }
        rows.loaded().unwrap();
        let mut early: Vec<i64> = model.values().flatten().copied().collect();
        early.sort_unstable();
        let view = rows.view();
        for step in changes {
            change(&mut rows, &mut model, step);
            let mut now: Vec<i64> = model.values().flatten().copied().collect();
            now.sort_unstable();
            prop_assert_eq!(all(&rows.view()), &now[..]);
            prop_assert_eq!(parts(&rows.view()), &now[..]);
            prop_assert_eq!(rows.len(), now.len());
        }
        for (key, expected) in &model {
            let mut expected = expected.clone();
            expected.sort_unstable();
            prop_assert_eq!(rows.count(*key), expected.len());
            prop_assert_eq!(values(&rows.gather(&[*key]).unwrap()), expected);
        }
        let keys: Vec<u32> = model.keys().copied().collect();
        prop_assert_eq!(values(&rows.gather(&keys).unwrap()), all(&rows.view()));
        prop_assert_eq!(all(&view), early);
    }
}

#[test]
fn many_small_changes_leave_few_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), false));
    for round in 0..2_000 {
        rows.replace(&[round % 50], &batch(&[i64::from(round)]), vec![round % 50]).unwrap();
    }
    assert_eq!(rows.len(), 50);
    assert!(rows.chunks.iter().flatten().count() <= TIERS.len() * (CHUNKS_MAX + 1));
}

#[test]
fn rows_that_came_last_stay_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), true));
    for key in 0u32..5 {
        rows.append(&batch(&[0, 1, 2, 3, 4, 5]), vec![key; 6]).unwrap();
    }
    let in_memory: Vec<usize> = (0..5).map(|key| rows.places(key).len()).collect();
    // Twenty may be there: the oldest moved as soon as there were more than that.
    assert_eq!(in_memory, [0, 0, 6, 6, 6]);
    assert_eq!((0..5).map(|key| rows.count(key)).sum::<usize>(), 30);
}

#[test]
fn memory_holds_few_rows_and_disk_few_parts() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), true));
    let few: Vec<i64> = (0..7).collect();
    for round in 0u32..400 {
        let keys: Vec<u32> = (round..round + 7).collect();
        rows.append(&batch(&few), keys).unwrap();
        rows.cold.settle().unwrap();
        let hot: usize = rows.chunks.iter().flatten().map(Chunk::alive).sum();
        assert!(hot <= 20 + 7, "{hot} rows in memory");
        // Parts that are large enough stay as they are: 30 rows or more each.
        assert!(rows.cold.chunks().len() <= 3 + rows.len() / 30);
    }
    assert_eq!(rows.len(), 2_800);
}

//! Plans that are kept and run again over other rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use clicktrail_engine::datafusion::{Feed, FeedRows, Prepared, Session};

use crate::session;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("day", DataType::Int64, true),
        Field::new("person", DataType::Utf8View, true),
        Field::new("key", DataType::Int64, true),
    ]))
}

fn events(rows: &[(i64, &str, i64)]) -> RecordBatch {
    let days = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let persons = StringViewArray::from_iter_values(rows.iter().map(|row| row.1));
    let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    let columns: [arrow::array::ArrayRef; 3] = [Arc::new(days), Arc::new(persons), Arc::new(keys)];
    RecordBatch::try_new(schema(), columns.to_vec()).unwrap()
}

fn count(session: &Session, prepared: &Prepared) -> usize {
    session.run_prepared(prepared).unwrap().iter().map(RecordBatch::num_rows).sum()
}

/// Once each: those that occur once, by an outer join, and the first of the others, by an inner join.
const ONCE: &str = "
    with events as (select day, person, key from seen),
    repeated as (
        select day, person, key, count(*) as copies from events group by day, person, key having count(*) > 1
    ),
    single as (
        select events.* from repeated right join events
        on events.day = repeated.day and events.person = repeated.person and events.key = repeated.key
        where repeated.key is null
    ),
    ranked as (
        select events.*, row_number() over (
            partition by events.day, events.person, events.key order by events.day
        ) as copy
        from repeated inner join events
        on events.day = repeated.day and events.person = repeated.person and events.key = repeated.key
    )
    select day, person, key from single
    union all
    select day, person, key from ranked where copy = 1";

/// Neither bounds that a join found in an earlier run, nor a filter that belongs to the other side of the outer join:
/// the engine's own rule pushed `repeated.key is null` into `events`, whose column has the same name.
#[test]
fn a_run_sees_nothing_of_the_run_before() {
    let (session, _dir) = session();
    let slot = session.add_live_slot("events", schema()).unwrap();
    let late = session.add_live_slot("late_events", schema()).unwrap();
    session
        .add_view(
            "seen",
            "with feeds as (
                select *, 1 as authority from events union all select *, 2 as authority from late_events
             ),
             authorities as (select day, min(authority) as authority from feeds group by day)
             select feeds.* from feeds inner join authorities
             on feeds.day = authorities.day and feeds.authority = authorities.authority
             where person is not null",
        )
        .unwrap();
    let plan = session.plan(ONCE).unwrap();
    let prepared = session.prepare(&plan).unwrap();
    let histories: [(&[(i64, &str, i64)], usize); 4] = [
        (&[(1, "a", 1), (1, "a", 1), (1, "b", 2)], 2),
        (&[(2, "x", 7), (2, "x", 7), (9, "y", 8), (9, "zz", 9)], 3),
        (&[(5, "m", 1)], 1),
        (&[(1, "a", 1), (1, "c", 1), (3, "c", 1), (3, "c", 1)], 3),
    ];
    for (rows, expected) in histories {
        slot.set(Vec::new());
        late.set(vec![events(rows)]);
        assert_eq!(count(&session, &prepared), expected, "{rows:?}");
    }
}

/// Counts how often it is read.
#[derive(Debug, Default)]
struct Counted(AtomicUsize);

impl Feed for Counted {
    fn schema(&self, _: Option<&[String]>) -> SchemaRef {
        schema()
    }

    fn partitions(&self) -> usize {
        1
    }

    fn read(&self, _: usize, leaves: &[String]) -> Result<FeedRows, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let columns: Vec<usize> =
            leaves.iter().map(|leaf| schema().index_of(leaf).unwrap()).collect();
        let rows = events(&[(1, "ann", 1), (1, "bob", 2)]).project(&columns).unwrap();
        Ok(Box::new(std::iter::once(Ok(rows))))
    }
}

#[test]
fn nothing_is_read_for_the_sake_of_an_empty_table() {
    let (session, _dir) = session();
    let days = Arc::new(Counted::default());
    session.add_live_feed("daily", Arc::clone(&days) as _, None).unwrap();
    session.add_empty("stream", &schema()).unwrap();
    let sql = "
        select person from daily
        union all
        select stream.person from (select distinct day from daily) as taken
        right join stream on taken.day = stream.day
        where taken.day is null";
    let prepared = session.prepare(&session.plan(sql).unwrap()).unwrap();
    assert_eq!(count(&session, &prepared), 2);
    assert_eq!(days.0.load(Ordering::Relaxed), 1);
}

//! Operators and aggregates of our own give what DataFusion's give, and are the ones that run.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use clicktrail_engine::datafusion::{Embedded, EmbeddedSettings, Session};

use crate::rows;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("person", DataType::Utf8View, true),
        Field::new("number", DataType::Int64, true),
        Field::new("value", DataType::Utf8View, true),
    ]))
}

/// Rows of a few hundred persons, one of them without a name, scattered over batches of several sizes.
fn batches() -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut rows = 0i64..20_000;
    for size in [1, 7, 8_192, 300, 9_000, 2_500] {
        let numbers: Vec<i64> = rows.by_ref().take(size).map(|row| row * 7_919 % 20_011).collect();
        let persons = numbers.iter().map(|number| {
            let person = number * 31 % 307;
            (person != 0).then(|| format!("a person of more than twelve bytes {person}"))
        });
        let values = numbers.iter().map(|number| (number % 5 != 0).then(|| number.to_string()));
        let columns: [ArrayRef; 3] = [
            Arc::new(persons.collect::<StringViewArray>()),
            Arc::new(Int64Array::from(numbers.clone())),
            Arc::new(values.collect::<StringViewArray>()),
        ];
        batches.push(RecordBatch::try_new(schema(), columns.to_vec()).unwrap());
    }
    batches
}

/// A session of so many threads, with the rows above twice.
fn session(threads: usize) -> (Session, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let spill_dir = dir.path().to_path_buf();
    let settings = EmbeddedSettings { threads, memory_bytes: 256 << 20, spill_dir };
    let session = Embedded::new(settings).unwrap().session().unwrap();
    for name in ["events", "others"] {
        session.add_batches(name, schema(), batches()).unwrap();
    }
    (session, dir)
}

#[test]
fn row_numbers_count_on_until_a_partition_ends() {
    for threads in [1, 4] {
        let (session, _dir) = session(threads);
        let numbered = "select number, row_number() over (partition by person order by number) as at from events";
        assert!(session.analyze(numbered).unwrap().contains("RowNumber"), "{threads} threads");
        let counted = "select number, count(*) over (
            partition by person order by number rows between unbounded preceding and current row
        ) as at from events";
        let different = format!(
            "select count(*) filter (where numbered.at = counted.at), count(*)
             from ({numbered}) as numbered inner join ({counted}) as counted
             on numbered.number = counted.number"
        );
        assert_eq!(rows(&session, &different), ["20000|20000"], "{threads} threads");
        let all = "select max(at), count(distinct at) from (select row_number() over (order by number) as at from events)";
        assert_eq!(rows(&session, all), ["20000|20000"], "{threads} threads");
    }
}

#[test]
fn a_union_on_one_thread_is_read_in_turn_and_aggregated_once() {
    let sql = "select person, count(*) as rows, sum(number) as sum, min(value) as least
        from (
            select person, number, value from events where number > 100
            union all select person, number, '0' || value from others
            union all select 'nobody', 1, null
        )
        group by person order by person nulls first";
    let ((one, _one_dir), (four, _four_dir)) = (session(1), session(4));
    assert_eq!(rows(&one, sql), rows(&four, sql));
    assert_eq!(rows(&one, sql).len(), 308);
    let plan = one.analyze(sql).unwrap();
    assert!(plan.contains("InTurn") && !plan.contains("UnionExec"), "{plan}");
    assert_eq!(plan.matches("AggregateExec").count(), 1, "{plan}");
    assert!(four.analyze(sql).unwrap().contains("UnionExec"));
}

#[test]
fn first_by_and_last_by_are_first_value_and_last_value() {
    for threads in [1, 4] {
        let (session, _dir) = session(threads);
        for (own, known) in [
            ("first_by(value, number, person)", "first_value(value order by number, person)"),
            ("last_by(value, number)", "last_value(value order by number)"),
        ] {
            for rows_that_count in ["", " filter (where number % 3 = 0)"] {
                for group in ["", " group by person"] {
                    let of = |function: &str| {
                        let sql = format!(
                            "select {function}{rows_that_count} as found from events{group}"
                        );
                        let mut found =
                            rows(&session, &format!("select found from ({sql}) order by found"));
                        found.sort();
                        found
                    };
                    assert_eq!(
                        of(own),
                        of(known),
                        "{own}{rows_that_count}{group}, {threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_safe_is_computed_for_all_rows_and_is_the_same() {
    // `substr`, `ltrim` and `rtrim` are not among the safe functions, so that the right column is as DataFusion computes it.
    let expressions = [
        "case when number < 3000 then {value} when value is null then 'none'
              when person is null then person else upper({value}) end",
        "case when number < 500 then {value} when number < 0 then person end",
        "case when number < 500 then null when {value} is null then 7 else number end",
        "case when number >= 0 then {value} when value is null then person end",
        "case when number < 0 then {value} when number < 0 then person else 'else' end",
        "case {value} when '11' then person when '9' then value when person then 'same' end",
        "case lower({value}) when null then 'null' when '12' then person else value end",
        "(number > 100 and {value} > '5') or ({value} < '3' and person > 'a person of more than twelve bytes 2')",
        "({value} > '5' or person is null) and not ({value} = '7' or {value} < person)",
        "case when ({value} > '5' and {value} < '7') or {value} is null then number end",
    ];
    let (session, _dir) = session(1);
    // Different ones, as the engine would compute the same once, and what is made of it eagerly.
    let twice = |expression: &str| {
        let own = expression.replace("{value}", "value");
        let known = ["substr(value, 1)", "ltrim(value, '#')", "rtrim(value, '#')"];
        let known = known
            .iter()
            .fold(expression.to_owned(), |known, value| known.replacen("{value}", value, 1));
        [own, known]
    };
    let coalesce = [
        "coalesce(value, person, 'nobody')",
        "case when substr(value, 1) is not null then value when person is not null then person else 'nobody' end",
    ];
    for [own, known] in expressions.map(twice).into_iter().chain([coalesce.map(str::to_owned)]) {
        let is_eager = |column: &str| {
            let plan = session.analyze(&format!("select {column} as found from events"));
            plan.unwrap().contains("eager ")
        };
        assert!(is_eager(&own) && !is_eager(&known), "{own}");
        let rows = rows(&session, &format!("select {own} as own, {known} as known from events"));
        assert_eq!(rows.len(), 20_000);
        for row in rows {
            let (own_value, known_value) = row.split_once('|').unwrap();
            assert_eq!(own_value, known_value, "{own}");
        }
    }
}

#[test]
fn what_could_fail_is_computed_only_where_it_is_asked_for() {
    let (session, _dir) = session(1);
    let sql = "select case when number = 0 then 0 when number < 50 then 100 / number end as share from events";
    assert!(!session.analyze(sql).unwrap().contains("eager"));
    let shares = rows(&session, &format!("select count(share) from ({sql})"));
    assert_eq!(shares, ["50"]);
}

//! What can be computed key by key, and what is refused with which words.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::session;

fn verdict(sql: &str) -> Result<(), String> {
    let (session, _dir) = session();
    let schema = Arc::new(Schema::new(vec![
        Field::new("person_key", DataType::Utf8View, true),
        Field::new("at", DataType::Int64, true),
        Field::new("channel", DataType::Utf8View, true),
    ]));
    session.add_slot("events", Arc::clone(&schema)).unwrap();
    session.add_slot("touches", schema).unwrap();
    let seed = Arc::new(Schema::new(vec![Field::new("channel", DataType::Utf8View, true)]));
    session.add_slot("channels", seed).unwrap();
    let plan = session.plan(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    plan.check_local("person_key", &|name| name != "channels")
}

#[test]
fn key_local_shapes_pass() {
    for sql in [
        "select person_key, at from events where at > 1",
        "select person_key, count(*) as n from events group by person_key",
        "select distinct person_key, channel from events",
        "select person_key, row_number() over (partition by person_key order by at) as n from events",
        "select e.person_key, t.at from events e join touches t on e.person_key = t.person_key and t.at < e.at",
        "select e.person_key from events e left join channels c on e.channel = c.channel",
        "select person_key from events union all select person_key from touches",
        "select person_key from events where person_key in (select person_key from touches)",
    ] {
        assert_eq!(verdict(sql), Ok(()), "{sql}");
    }
}

#[test]
fn other_shapes_are_refused_with_the_reason() {
    for (sql, reason) in [
        ("select channel, count(*) as n from events group by channel", "GROUP BY"),
        ("select person_key, row_number() over (order by at) as n from events", "window function"),
        ("select person_key from events order by at limit 5", "LIMIT"),
        ("select e.person_key from events e join touches t on e.at = t.at", "join is not on"),
        ("select at from events", "does not hold the key"),
        ("select channel from channels", "does not read any table"),
        ("select person_key, random() as r from events", "another value each time"),
        (
            "select e.person_key from channels c left join events e on e.channel = c.channel",
            "outer join",
        ),
    ] {
        let why = verdict(sql).expect_err(sql);
        assert!(why.contains(reason), "{sql}: {why}");
    }
}

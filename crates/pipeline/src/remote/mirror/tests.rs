use super::*;

const MINUTE: i64 = 60 * 1000;

fn id(name: &str) -> TableId {
    TableId { project: "p".into(), dataset: "d".into(), table: name.into() }
}

/// `fct_credits` is copied and made from `int_journeys`, which is not.
fn seen(journeys: i64, credits: i64) -> (Vec<Copied>, Seen) {
    let table = |name: &str, at: i64| Table {
        id: id(name),
        kind: "TABLE".into(),
        fields: Vec::new(),
        rows: Some(1),
        version: at.to_string(),
    };
    let named = |name: &str, at: i64| BTreeMap::from([(name.to_owned(), table(name, at))]);
    let copied = Copied {
        name: "fct_credits".into(),
        id: id("fct_credits"),
        from: BTreeSet::from(["int_journeys".to_owned()]),
    };
    let (copied_tables, others) = (named("fct_credits", credits), named("int_journeys", journeys));
    (vec![copied], Seen { copied: copied_tables, others })
}

#[test]
fn a_table_older_than_what_it_is_made_from_is_of_a_build_under_way_for_ten_minutes() {
    let (copied, half) = seen(5 * MINUTE, MINUTE);
    let why = "a build is under way in BigQuery: fct_credits is older than int_journeys";
    assert_eq!(unsettled(&copied, &half, 6 * MINUTE).as_deref(), Some(why));
    // Counted from the last change, not from the first.
    assert_eq!(unsettled(&copied, &half, 15 * MINUTE).as_deref(), Some(why));
    assert_eq!(unsettled(&copied, &half, 15 * MINUTE + 1), None);
    let (copied, whole) = seen(5 * MINUTE, 6 * MINUTE);
    assert_eq!(unsettled(&copied, &whole, 6 * MINUTE), None);
}

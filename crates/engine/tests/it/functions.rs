//! GA4's functions, called from SQL as models call them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{rows, session};

/// Rows of GA4 shape from JSON, as the readers give them.
fn events(json: &str) -> (SchemaRef, Vec<arrow::array::RecordBatch>) {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    let value = DataType::Struct(
        vec![
            text("string_value"),
            Field::new("int_value", DataType::Int64, true),
            Field::new("float_value", DataType::Float64, true),
            Field::new("double_value", DataType::Float64, true),
        ]
        .into(),
    );
    let param = DataType::Struct(vec![text("key"), Field::new("value", value, true)].into());
    let item = DataType::Struct(
        vec![text("item_id"), Field::new("quantity", DataType::Int64, true)].into(),
    );
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new(
            "event_params",
            DataType::List(Arc::new(Field::new("element", param, true))),
            true,
        ),
        Field::new("items", DataType::List(Arc::new(Field::new("element", item, true))), true),
    ]));
    let reader =
        arrow::json::ReaderBuilder::new(Arc::clone(&schema)).build(json.as_bytes()).unwrap();
    (schema, reader.map(Result::unwrap).collect())
}

fn query(json: &str, sql: &str) -> Vec<String> {
    let (session, _dir) = session();
    let (schema, batches) = events(json);
    session.add_batches("events", schema, batches).unwrap();
    rows(&session, sql)
}

#[test]
fn params_are_read_in_any_variant_and_the_first_of_a_name_wins() {
    let json = r#"
{"n":1,"event_params":[{"key":"id","value":{"int_value":7}},{"key":"id","value":{"int_value":8}},{"key":"value","value":{"int_value":3}}]}
{"n":2,"event_params":[{"key":"id","value":{"string_value":" 42 "}},{"key":"value","value":{"double_value":1.5}}]}
{"n":3,"event_params":[{"key":"id","value":{"double_value":9.0}},{"key":"value","value":{"string_value":"2.25"}}]}
{"n":4,"event_params":[{"key":"id","value":{"string_value":"x"}},{"key":"value","value":{}}]}
{"n":5,"event_params":null}
{"n":6,"event_params":[{"key":"idx","value":{"int_value":1}}]}
"#;
    let sql = "select n, p['id'], p['value'] from (select n, ga4_params(event_params, 'id:int', 'value:number') as p \
               from events) order by n";
    assert_eq!(
        query(json, sql),
        ["1|7|3.0", "2|42|1.5", "3|9|2.25", "4|null|null", "5|null|null", "6|null|null"]
    );
    let sql = "select ga4_params(event_params, 'id:string')['id'] from events order by n";
    assert_eq!(query(json, sql), ["7", " 42 ", "9", "x", "null", "null"]);
}

#[test]
fn a_wrong_key_list_is_told_when_planning() {
    let (session, _dir) = session();
    let (schema, batches) = events("{\"n\":1}");
    session.add_batches("events", schema, batches).unwrap();
    let error = session.plan("select ga4_params(event_params, 'id:date') from events").unwrap_err();
    assert!(error.to_string().contains("`id:date` is not `key:type`"), "{error}");
}

/// [2.19]: the order of params does not matter, everything else does; null and absent differ from zero.
#[test]
fn the_event_key_is_of_the_content_alone() {
    let json = r#"
{"n":1,"event_params":[{"key":"a","value":{"int_value":1}},{"key":"b","value":{"string_value":"x"}}],"items":[]}
{"n":2,"event_params":[{"key":"b","value":{"string_value":"x"}},{"key":"a","value":{"int_value":1}}],"items":null}
{"n":3,"event_params":[{"key":"a","value":{"double_value":1.0}},{"key":"b","value":{"string_value":"x"}}],"items":[]}
{"n":4,"event_params":[{"key":"a","value":{"int_value":1}},{"key":"b","value":{"string_value":"x"}}],"items":[{"item_id":"s","quantity":1}]}
"#;
    let keys = query(
        json,
        "select ga4_event_key('p', 's', 'u', 5, 'view', 7, null, null, null, '20260101', event_params, items) from events order by n",
    );
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
    assert_ne!(keys[0], keys[3]);
    // The rendering by hand: 1:p1:s1:u1:54:view1:7---1:ai11:bs1:x
    assert_eq!(
        rows(&session().0, "select md5('1:p1:s1:u1:54:view1:7---1:ai11:bs1:x')"),
        [keys[0].clone()]
    );
}

#[test]
fn an_id_of_the_senders_own_is_the_key() {
    let json = r#"{"n": 1, "event_params": [{"key": "a", "value": {"int_value": 1}}, {"key": "clicktrail_event_id", "value": {"string_value": "o7"}}], "items": [{"item_id": "A"}]}
{"n": 2, "event_params": [{"key": "clicktrail_event_id", "value": {"string_value": "o7"}}], "items": []}
"#;
    let keys = query(
        json,
        "select ga4_event_key('p', 's', 'u', n, 'buy', n, null, null, n, '20260101', event_params, items) from events order by n",
    );
    assert_eq!(keys[0], keys[1]);
    let rendering = "1:p1:s1:u-3:buy8:20260101---19:clicktrail_event_ids2:o7";
    assert_eq!(rows(&session().0, &format!("select md5('{rendering}')")), [keys[0].clone()]);
}

#[test]
fn keys_of_parts_keep_their_borders_and_nulls_apart() {
    let (session, _dir) = session();
    let keys = rows(
        &session,
        "select hash_key('ab', 'c') union all select hash_key('a', 'bc') union all select hash_key('-', null)",
    );
    assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert_eq!(rows(&session, "select hash_key('ab', null) = md5('2:ab-')"), ["true"]);
    let sql = "select hash_key(t) = md5(coalesce('1:' || t, '-')) from (values ('x'), ('x'), ('y'), (null), (null), ('x')) v(t)";
    assert_eq!(rows(&session, sql), ["true"; 6]);
}

#[test]
fn addresses_hosts_and_placeholders() {
    let (session, _dir) = session();
    let sql = "select u['utm_source'], u['gclid'], url_host('https://www.Shop.de:443/x'), usable(' (not set) '), \
               host_matches('checkout.stripe.com', 'paypal.com,stripe.com'), host_matches('xstripe.com', 'stripe.com') \
               from (select ga4_url_params('https://a.b/?utm_source=x%20y&gclid=G1') as u)";
    assert_eq!(rows(&session, sql), ["x y|G1|shop.de|null|true|false"]);
}

#[test]
fn money_and_time() {
    let (session, _dir) = session();
    assert_eq!(
        rows(&session, "select money(0.1) + money(0.2), money(19.99)"),
        ["0.300000|19.990000"]
    );
    let sql = "select local_date(1616893200000000, 'Europe/Paris'), utc_timestamp(0), \
               local_midnight_micros(cast('2021-03-28' as date), 'Europe/Paris')";
    assert_eq!(rows(&session, sql), ["2021-03-28|1970-01-01T00:00:00|1616886000000000"]);
    let error = session.query("select local_date(0, 'Paris')").unwrap_err();
    assert!(error.to_string().contains("no IANA time zone"), "{error}");
}

#[test]
fn nothing_that_changes_data_can_be_run() {
    let (session, _dir) = session();
    for sql in
        ["create table t as select 1", "drop table t", "copy (select 1) to 'x.csv'", "set a.b = 1"]
    {
        assert!(session.query(sql).is_err(), "{sql}");
    }
}

/// [2.8]: what other engines say by a regular expression, and `demo/macros/ga4.sql` gives to them.
#[test]
fn a_registrable_domain_is_what_the_regular_expression_finds() {
    let macros = include_str!("../../../../demo/macros/ga4.sql");
    let pattern = macros.lines().skip_while(|line| !line.contains("macro registrable_pattern"));
    let pattern = pattern.skip(1).next().unwrap();
    let labels = [
        "", "a", "co", "uk", "org", "com", "co-op", "3x", "1", "Zz", "é", "li\nne", "u", "info",
        "b9",
    ];
    let mut hosts: Vec<String> = Vec::new();
    for first in labels {
        hosts.push(first.to_owned());
        for second in labels {
            hosts.push(format!("{first}.{second}"));
            for third in labels {
                hosts.push(format!("{first}.{second}.{third}"));
                hosts.push(format!("shop.{first}.{second}.{third}"));
            }
        }
    }
    let (session, _dir) = session();
    let schema = Arc::new(Schema::new(vec![Field::new("host", DataType::Utf8View, true)]));
    let column = Arc::new(arrow::array::StringViewArray::from_iter_values(&hosts));
    let batch = arrow::array::RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    session.add_batches("hosts", schema, vec![batch]).unwrap();
    let sql = format!(
        "select host, registrable_domain(host), regexp_replace(host, '{pattern}', '\\1') from hosts \
         where registrable_domain(host) <> regexp_replace(host, '{pattern}', '\\1')"
    );
    assert_eq!(rows(&session, &sql), Vec::<String>::new());
    let changed = "select count(*) from hosts where registrable_domain(host) <> host";
    assert_ne!(rows(&session, changed), ["0"]);
    let some = "select registrable_domain(name) from (values ('blog.shop.co.uk'), ('a.b.example.com'), ('10.0.0.1'), (null)) as t(name)";
    assert_eq!(rows(&session, some), ["shop.co.uk", "example.com", "10.0.0.1", "null"]);
}

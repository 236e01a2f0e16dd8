//! The event key `[2.19]`: which rows are copies of one event.

use std::fmt::Write as _;

use super::evidence::{Item, Param, RawEvent};
use super::ids::{md5_hex, push_part};

/// The event key of a row: md5 over the length-prefixed fields.
#[must_use]
pub fn event_key(event: &RawEvent, property_id: &str) -> String {
    md5_hex(&rendering(event, property_id))
}

/// The text that is hashed, for a test that compares two of them by eye.
#[must_use]
pub fn rendering(event: &RawEvent, property_id: &str) -> String {
    let decimal = |value: Option<i64>| value.map(|value| value.to_string());
    let parts = [
        Some(property_id.to_owned()),
        event.stream_id.clone(),
        event.user_pseudo_id.clone(),
        decimal(event.ga_session_id()),
        event.event_name.clone(),
        decimal(event.event_timestamp),
        decimal(event.batch_page_id),
        decimal(event.batch_ordering_id),
        decimal(event.batch_event_index),
    ];
    let mut text = String::new();
    // The sender's own id stands for all but property, stream, visitor, name and day.
    let is_id = |param: &&Param| {
        param.key.as_deref() == Some("clicktrail_event_id") && param.value.string_value.is_some()
    };
    if let Some(id) = event.params.iter().find(is_id) {
        let [property, stream, visitor, _, name, ..] = &parts;
        for part in [property, stream, visitor, &None, name, &event.event_date, &None, &None, &None]
        {
            push_part(&mut text, part.as_deref());
        }
        text.push_str(&param_text(id));
        return text;
    }
    for part in &parts {
        push_part(&mut text, part.as_deref());
    }
    // Both consist of parts that carry their lengths, so they need none of their own.
    text.push_str(&params_text(&event.params));
    text.push_str(&items_text(&event.items));
    text
}

/// All params, in the order of their renderings: the row's order says nothing.
fn params_text(params: &[Param]) -> String {
    let mut rendered: Vec<String> = params.iter().map(param_text).collect();
    // Rust compares text by its bytes.
    rendered.sort_unstable();
    rendered.concat()
}

fn param_text(param: &Param) -> String {
    let mut text = String::new();
    push_part(&mut text, param.key.as_deref());
    let value = &param.value;
    if let Some(string) = &value.string_value {
        text.push('s');
        push_part(&mut text, Some(string));
    } else if let Some(int) = value.int_value {
        push_int(&mut text, int);
    } else {
        push_number(&mut text, value.double_value.or(value.float_value));
    }
    text
}

fn items_text(items: &[Item]) -> String {
    let mut text = String::new();
    for item in items {
        push_part(&mut text, item.item_id.as_deref());
        push_part(&mut text, item.item_name.as_deref());
        match item.quantity {
            Some(quantity) => push_int(&mut text, quantity),
            None => text.push('-'),
        }
        push_number(&mut text, item.price);
        push_number(&mut text, item.item_revenue);
    }
    text
}

fn push_int(text: &mut String, value: i64) {
    // Writing to a String cannot fail.
    let _ = write!(text, "i{value}");
}

/// `d` and the number in millionths, rounded half away from zero; `n` when it has none.
fn push_number(text: &mut String, value: Option<f64>) {
    // 2^63, the first number that an i64 does not hold.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let micros = value.map(|value| (value * 1e6).round());
    match micros.filter(|micros| (-LIMIT..LIMIT).contains(micros)) {
        Some(micros) => {
            let _ = write!(text, "d{}", micros as i64);
        }
        None => text.push('n'),
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::ParamValue;
    use super::*;

    fn row() -> RawEvent {
        RawEvent {
            user_pseudo_id: Some("u.1".to_owned()),
            event_name: Some("purchase".to_owned()),
            event_timestamp: Some(1_700_000_000_000_000),
            batch_page_id: Some(7),
            params: vec![Param::text("page_title", "é"), Param::int("ga_session_id", 42)],
            ..RawEvent::default()
        }
    }

    fn number(double_value: Option<f64>, float_value: Option<f64>) -> Param {
        let value = ParamValue { double_value, float_value, ..ParamValue::default() };
        Param { key: None, value }
    }

    #[test]
    fn renders_every_field_with_its_length() {
        let params = "10:page_titles2:é13:ga_session_idi42";
        let expected = format!("2:p1-3:u.12:428:purchase16:17000000000000001:7--{params}");
        assert_eq!(rendering(&row(), "p1"), expected);
        assert_eq!(event_key(&row(), "p1"), md5_hex(&expected));
    }

    /// [2.19] The same key however the params were listed.
    #[test]
    fn order_of_params_says_nothing() {
        let mut turned = row();
        turned.params.reverse();
        assert_eq!(event_key(&turned, "p1"), event_key(&row(), "p1"));
        assert_ne!(event_key(&turned, "p2"), event_key(&row(), "p1"));
    }

    /// [2.19] An id of the sender's own: a copy may have been stamped later, and differ in all else.
    #[test]
    fn the_senders_own_id_stands_for_the_event() {
        let with = |id: &str, at: i64| RawEvent {
            event_timestamp: Some(at),
            event_date: Some("20260101".to_owned()),
            params: vec![Param::int("ga_session_id", at), Param::text("clicktrail_event_id", id)],
            ..row()
        };
        let expected = "2:p1-3:u.1-8:purchase8:20260101---19:clicktrail_event_ids2:o7";
        assert_eq!(rendering(&with("o7", 5), "p1"), expected);
        assert_eq!(event_key(&with("o7", 5), "p1"), event_key(&with("o7", 9), "p1"));
        assert_ne!(event_key(&with("o7", 5), "p1"), event_key(&with("o8", 5), "p1"));
        let day = RawEvent { event_date: Some("20260102".to_owned()), ..with("o7", 5) };
        assert_ne!(event_key(&with("o7", 5), "p1"), event_key(&day, "p1"));
        let other = RawEvent { user_pseudo_id: Some("u.2".to_owned()), ..with("o7", 5) };
        assert_ne!(event_key(&with("o7", 5), "p1"), event_key(&other, "p1"));
    }

    #[test]
    fn a_session_id_may_be_digits() {
        let with = |value: &str| RawEvent {
            params: vec![Param::text("ga_session_id", value)],
            ..RawEvent::default()
        };
        assert_eq!(with("0042").ga_session_id(), Some(42));
        for none in ["", "-1", "4 2", "99999999999999999999"] {
            assert_eq!(with(none).ga_session_id(), None, "{none}");
        }
    }

    #[test]
    fn numbers_round_half_away_from_zero() {
        let render = |double, float| param_text(&number(double, float));
        assert_eq!(render(Some(0.0000005), Some(9.0)), "-d1");
        assert_eq!(render(Some(-0.0000005), None), "-d-1");
        assert_eq!(render(None, Some(1.5)), "-d1500000");
        assert_eq!(render(Some(-0.0), None), "-d0");
        assert_eq!(render(Some(1e13), None), "-n");
        assert_eq!(render(Some(f64::NAN), None), "-n");
        assert_eq!(render(None, None), "-n");
    }

    #[test]
    fn items_keep_their_order() {
        let item = Item {
            item_id: Some("A".to_owned()),
            quantity: Some(2),
            price: Some(1.25),
            ..Item::default()
        };
        assert_eq!(items_text(&[item, Item::default()]), "1:A-i2d1250000n---nn");
    }
}

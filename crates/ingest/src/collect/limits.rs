//! How much of everything a request may hold.

/// Bounds of what is accepted; [`Limits::default`] is GA4's standard property.
///
/// Lengths of names and values are in characters, as GA4 counts them; sizes of requests in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Events of a Measurement Protocol request: 25.
    pub events: usize,
    /// Events of a gtag request: 100. gtag.js itself sends at most some 25.
    pub gtag_events: usize,
    /// Rows of a `/v1/events` request: 10,000.
    pub rows: usize,
    /// Bytes of a Measurement Protocol or gtag body: 130 kB.
    pub body_bytes: usize,
    /// Bytes of a query string: 16 kB, the longest header the server reads.
    pub query_bytes: usize,
    /// Bytes of a `/v1/events` body: 8 MB.
    pub rows_bytes: usize,
    /// Bytes of one row: 1 MiB, above 200 items with 10 params each.
    pub row_bytes: usize,
    /// Params of an event: 25, `items` not counted.
    pub params: usize,
    /// User properties of a request: 25.
    pub user_properties: usize,
    /// Items of an event: 200.
    pub items: usize,
    /// Custom params of an item: 10.
    pub item_params: usize,
    /// Event name: 40.
    pub event_name_chars: usize,
    /// Param name, also of an item: 40.
    pub param_name_chars: usize,
    /// Param value, also of an item: 100 (500 on GA360). Longer ones are cut.
    pub param_value_chars: usize,
    /// `page_title`: 300.
    pub page_title_chars: usize,
    /// `page_referrer`: 420.
    pub page_referrer_chars: usize,
    /// `page_location`: 1,000.
    pub page_location_chars: usize,
    /// Source, campaign and click ids: 500. Some click ids exceed the 100 of other values.
    pub traffic_value_chars: usize,
    /// User property name: 24.
    pub user_property_name_chars: usize,
    /// User property value: 36.
    pub user_property_value_chars: usize,
    /// `client_id` and `user_id`: 256. Longer ones are refused: a cut id could be another's.
    pub id_chars: usize,
    /// `event_id`, also one made of an idempotency key: 256. Longer ones are refused.
    pub event_id_chars: usize,
    /// How far an event may lie in the future: 24 h, in microseconds.
    pub future_micros: i64,
    /// How old an event may be when the sender asks for GA4's strict validation: 72 h, in
    /// microseconds. Without that wish events of any age are kept.
    pub stale_micros: i64,
    /// The earliest time that can be meant: 1 January 2000. Earlier ones are seconds or
    /// milliseconds in the place of microseconds.
    pub earliest_micros: i64,
}

/// Hours to microseconds.
const HOUR_MICROS: i64 = 3_600_000_000;

impl Default for Limits {
    fn default() -> Self {
        Self {
            events: 25,
            gtag_events: 100,
            rows: 10_000,
            body_bytes: 130_000,
            query_bytes: 16_384,
            rows_bytes: 8_000_000,
            row_bytes: 1 << 20,
            params: 25,
            user_properties: 25,
            items: 200,
            item_params: 10,
            event_name_chars: 40,
            param_name_chars: 40,
            param_value_chars: 100,
            page_title_chars: 300,
            page_referrer_chars: 420,
            page_location_chars: 1000,
            traffic_value_chars: 500,
            user_property_name_chars: 24,
            user_property_value_chars: 36,
            id_chars: 256,
            event_id_chars: 256,
            future_micros: 24 * HOUR_MICROS,
            stale_micros: 72 * HOUR_MICROS,
            earliest_micros: 946_684_800_000_000,
        }
    }
}

impl Limits {
    /// Longest value of an event param.
    pub(super) fn value_chars(&self, name: &str) -> usize {
        match name {
            "page_location" => self.page_location_chars,
            "page_referrer" => self.page_referrer_chars,
            "page_title" => self.page_title_chars,
            "gclid" | "dclid" | "srsltid" | "source" | "medium" | "campaign" | "campaign_id"
            | "term" | "content" => self.traffic_value_chars,
            // Refused later when too long: a cut id could be another's.
            super::EVENT_ID_PARAM => self.event_id_chars.saturating_add(1),
            _ => self.param_value_chars,
        }
    }
}

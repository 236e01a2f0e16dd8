//! One raw export row, as far as its row-local columns need it.

/// One exported or streamed row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawEvent {
    /// Data stream.
    pub stream_id: Option<String>,
    /// Device.
    pub user_pseudo_id: Option<String>,
    /// GA4 event name.
    pub event_name: Option<String>,
    /// Day in the property's zone, `YYYYMMDD`.
    pub event_date: Option<String>,
    /// Microseconds since 1970, UTC.
    pub event_timestamp: Option<i64>,
    /// As exported: null stays null.
    pub batch_page_id: Option<i64>,
    /// As exported: null stays null.
    pub batch_ordering_id: Option<i64>,
    /// As exported: null stays null.
    pub batch_event_index: Option<i64>,
    /// `event_params`, in any order.
    pub params: Vec<Param>,
    /// `items`, in the order of the row.
    pub items: Vec<Item>,
    /// `collected_traffic_source`.
    pub collected: Option<CollectedSource>,
}

/// One element of `event_params`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Param {
    /// Name of the param.
    pub key: Option<String>,
    /// Its value.
    pub value: ParamValue,
}

impl Param {
    /// A param with a text.
    #[must_use]
    pub fn text(key: &str, value: &str) -> Self {
        let value = ParamValue { string_value: Some(value.to_owned()), ..ParamValue::default() };
        Self { key: Some(key.to_owned()), value }
    }

    /// A param with a whole number.
    #[must_use]
    pub fn int(key: &str, value: i64) -> Self {
        let value = ParamValue { int_value: Some(value), ..ParamValue::default() };
        Self { key: Some(key.to_owned()), value }
    }
}

/// The four columns of a param's value, of which GA4 fills at most one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParamValue {
    /// Text.
    pub string_value: Option<String>,
    /// Whole number.
    pub int_value: Option<i64>,
    /// Number; GA4 leaves it null.
    pub float_value: Option<f64>,
    /// Number.
    pub double_value: Option<f64>,
}

/// One element of `items`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    /// Product id.
    pub item_id: Option<String>,
    /// Product name.
    pub item_name: Option<String>,
    /// Pieces.
    pub quantity: Option<i64>,
    /// Price of a piece.
    pub price: Option<f64>,
    /// Price times pieces.
    pub item_revenue: Option<f64>,
}

/// The fields of `collected_traffic_source` that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectedSource {
    /// `utm_source`.
    pub manual_source: Option<String>,
    /// `utm_medium`.
    pub manual_medium: Option<String>,
    /// `utm_campaign`.
    pub manual_campaign_name: Option<String>,
    /// `utm_term`.
    pub manual_term: Option<String>,
    /// `utm_content`.
    pub manual_content: Option<String>,
    /// Google Ads click.
    pub gclid: Option<String>,
    /// Display & Video 360 or Campaign Manager click.
    pub dclid: Option<String>,
    /// Merchant Center click.
    pub srsltid: Option<String>,
}

impl RawEvent {
    /// Value of the first param of this name.
    #[must_use]
    pub fn param(&self, key: &str) -> Option<&ParamValue> {
        let found = self.params.iter().find(|param| param.key.as_deref() == Some(key));
        found.map(|param| &param.value)
    }

    /// Text of the first param of this name, whichever column holds it; a whole number has no
    /// fraction.
    #[must_use]
    pub fn text_param(&self, key: &str) -> Option<String> {
        let value = self.param(key)?;
        let number = || Some(value.double_value.or(value.float_value)?.to_string());
        let int = || Some(value.int_value?.to_string());
        value.string_value.clone().or_else(int).or_else(number)
    }

    /// Column `ga_session_id`: the int, else a text of digits that fits 64 bits.
    #[must_use]
    pub fn ga_session_id(&self) -> Option<i64> {
        let value = self.param("ga_session_id")?;
        let digits = value
            .string_value
            .as_deref()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        value.int_value.or_else(|| digits?.parse().ok())
    }
}

//! One event before it is written, and the canonical row it becomes.

use std::borrow::Cow;

use super::campaign::Traffic;
use super::commerce::Commerce;
use super::consent::{Consent, Privacy};
use super::device::Device;
use super::object::Members;
use super::outcome::Receipt;
use super::params::{Param, Value, write_plain_param};
use super::{EVENT_ID_PARAM, clock};

/// A user property.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UserProperty<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Value<'a>,
    /// Its own time; that of the event when it has none.
    pub(super) set_at: Option<i64>,
}

/// Where the visitor is, as an authenticated server says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Geo<'a> {
    pub(super) city: Option<Cow<'a, str>>,
    pub(super) country: Option<Cow<'a, str>>,
    pub(super) continent: Option<Cow<'a, str>>,
    pub(super) region: Option<Cow<'a, str>>,
    pub(super) sub_continent: Option<Cow<'a, str>>,
}

/// An event of any format.
#[derive(Debug, Clone, Default)]
pub(super) struct Event<'a> {
    /// Judged by [`clock::judge`].
    pub(super) timestamp: i64,
    pub(super) name: Cow<'a, str>,
    pub(super) params: Vec<Param<'a>>,
    /// Microseconds from the sender's time to receipt, when the sender gave one.
    pub(super) server_offset: Option<i64>,
    pub(super) user_id: Option<Cow<'a, str>>,
    pub(super) user_pseudo_id: Option<Cow<'a, str>>,
    pub(super) privacy: Option<Privacy>,
    pub(super) user_properties: Vec<UserProperty<'a>>,
    pub(super) device: Device<'a>,
    pub(super) geo: Geo<'a>,
    pub(super) firebase_app_id: Option<Cow<'a, str>>,
    pub(super) platform: Option<&'static str>,
    pub(super) commerce: Commerce<'a>,
    pub(super) traffic: Traffic<'a>,
    /// Position in the request, from 1 as in the export.
    pub(super) batch_event_index: Option<i64>,
    pub(super) batch_page_id: Option<i64>,
    pub(super) batch_ordering_id: Option<i64>,
}

impl<'a> Event<'a> {
    /// Adds a param unless there is one of that name.
    pub(super) fn add(&mut self, name: &'a str, value: Value<'a>) {
        if !self.has(name) {
            self.params.push((Cow::Borrowed(name), value));
        }
    }

    /// Keeps the event id as a param, in the place of one that the sender set.
    pub(super) fn set_event_id(&mut self, id: &str) {
        self.params.retain(|(key, _)| key != EVENT_ID_PARAM);
        let value = Value::Text(Cow::Owned(id.to_owned()));
        self.params.push((Cow::Borrowed(EVENT_ID_PARAM), value));
    }

    /// True when there is a param of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.params.iter().any(|(key, _)| key == name)
    }

    /// The row of `session_start` or `first_visit` beside this event: its time, visitor and page,
    /// neither its own params nor its campaign, which the export has on the event only.
    pub(super) fn derive(&self, name: &'static str, is_key_event: bool) -> Self {
        const SHARED: [&str; 9] = [
            "ga_session_id",
            "ga_session_number",
            "page_location",
            "page_referrer",
            "page_title",
            "session_engaged",
            "engaged_session_event",
            "ignore_referrer",
            "debug_mode",
        ];
        let mut derived = Self {
            name: Cow::Borrowed(name),
            traffic: Traffic::default(),
            commerce: Commerce::default(),
            ..self.clone()
        };
        derived.params.retain(|(key, _)| SHARED.contains(&key.as_ref()));
        if is_key_event {
            derived.add("firebase_conversion", Value::Int(1));
        }
        derived
    }

    /// The canonical row, members in the order of the export.
    pub(super) fn row(&self, receipt: &Receipt) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        Members::write(&mut out, |row| {
            let day = clock::day(self.timestamp, receipt.time_zone);
            row.text("event_date", day.as_deref());
            row.int("event_timestamp", Some(self.timestamp));
            row.text("event_name", Some(&self.name));
            if !self.params.is_empty() {
                let out = row.key("event_params");
                out.push(b'{');
                for (name, value) in &self.params {
                    write_plain_param(name, Some(value), out);
                }
                out.push(b'}');
            }
            row.float("event_value_in_usd", self.commerce.value_in_usd());
            row.int("event_server_timestamp_offset", self.server_offset);
            row.text("user_id", self.user_id.as_deref());
            row.text("user_pseudo_id", self.user_pseudo_id.as_deref());
            if let Some(privacy) = self.privacy {
                row.object("privacy_info", |info| {
                    info.text("analytics_storage", Some(privacy.analytics.label()));
                    info.text("ads_storage", Some(privacy.ads.label()));
                    let is_transient = privacy.analytics == Consent::Denied;
                    let is_transient = if is_transient { "Yes" } else { "No" };
                    info.text("uses_transient_token", Some(is_transient));
                });
            }
            row.list("user_properties", &self.user_properties, |members, property| {
                members.text("key", Some(&property.name));
                members.object("value", |value| {
                    property.value.write(value);
                    let set_at = property.set_at.unwrap_or(self.timestamp);
                    value.int("set_timestamp_micros", Some(set_at));
                });
            });
            row.object("device", |device| self.device.write(device));
            row.object("geo", |geo| {
                geo.text("city", self.geo.city.as_deref());
                geo.text("country", self.geo.country.as_deref());
                geo.text("continent", self.geo.continent.as_deref());
                geo.text("region", self.geo.region.as_deref());
                geo.text("sub_continent", self.geo.sub_continent.as_deref());
            });
            row.object("app_info", |app| {
                app.text("firebase_app_id", self.firebase_app_id.as_deref());
            });
            row.text("stream_id", receipt.stream_id.as_deref());
            row.text("platform", self.platform);
            row.object("ecommerce", |ecommerce| self.commerce.write_ecommerce(ecommerce));
            self.commerce.write_items(row);
            row.object("collected_traffic_source", |traffic| self.traffic.write(traffic));
            row.int("batch_event_index", self.batch_event_index);
            row.int("batch_page_id", self.batch_page_id);
            row.int("batch_ordering_id", self.batch_ordering_id);
        });
        out
    }
}

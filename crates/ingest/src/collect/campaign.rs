//! Where a visitor came from, as the event itself says: `collected_traffic_source`.

use std::borrow::Cow;

use super::form::decode;
use super::limits::Limits;
use super::object::Members;
use super::outcome::Oddities;
use super::params::{Param, Value, cut};

/// The fields, in the order of the export.
pub(super) const FIELDS: [&str; 12] = [
    "manual_campaign_id",
    "manual_campaign_name",
    "manual_source",
    "manual_medium",
    "manual_term",
    "manual_content",
    "manual_source_platform",
    "manual_creative_format",
    "manual_marketing_tactic",
    "gclid",
    "dclid",
    "srsltid",
];

/// Keys of an address by field.
const URL_KEYS: [&str; FIELDS.len()] = [
    "utm_id",
    "utm_campaign",
    "utm_source",
    "utm_medium",
    "utm_term",
    "utm_content",
    "utm_source_platform",
    "utm_creative_format",
    "utm_marketing_tactic",
    "gclid",
    "dclid",
    "srsltid",
];

/// Event params by field: GA4 writes them on events that carry a campaign. Empty: none.
pub(super) const PARAM_KEYS: [&str; FIELDS.len()] = [
    "campaign_id",
    "campaign",
    "source",
    "medium",
    "term",
    "content",
    "",
    "",
    "",
    "gclid",
    "dclid",
    "srsltid",
];

/// The first field that is a click id instead of a manual value.
const FIRST_CLICK_ID: usize = 9;

/// Keys of an address that become event params only.
const URL_PARAMS: [&str; 2] = ["gad_source", "gad_campaignid"];

/// What the event itself says about its origin; empty texts are absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Traffic<'a> {
    pub(super) fields: [Option<Cow<'a, str>>; FIELDS.len()],
    /// [`URL_PARAMS`] of the address.
    url_params: [Option<Cow<'a, str>>; URL_PARAMS.len()],
}

impl<'a> Traffic<'a> {
    /// Reads the query of a page address: decoded once, `+` as space, the last value of a repeated
    /// key wins, keys in any case, also behind a fragment.
    pub(super) fn of_location(location: &'a str) -> Self {
        let mut traffic = Self::default();
        let Some((_, query)) = location.split_once('?') else { return traffic };
        for pair in query.split(['&', '#', '?']) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // `gclid` to `utm_marketing_tactic`.
            if !(5..=20).contains(&key.len()) {
                continue;
            }
            let is_key = |name: &&str| name.eq_ignore_ascii_case(key);
            let place = match URL_KEYS.iter().position(&is_key) {
                Some(index) => &mut traffic.fields[index],
                None => match URL_PARAMS.iter().position(is_key) {
                    Some(index) => &mut traffic.url_params[index],
                    None => continue,
                },
            };
            // Undecodable bytes are kept as they were sent, rather than lost.
            *place = usable(decode(value).unwrap_or(Cow::Borrowed(value)));
        }
        traffic
    }

    /// Sets a field by its index in [`FIELDS`], unless the value is empty.
    pub(super) fn set(&mut self, index: usize, value: Cow<'a, str>) {
        if let Some(value) = usable(value) {
            self.fields[index] = Some(value);
        }
    }

    /// True when a manual field is set.
    pub(super) fn has_manual(&self) -> bool {
        self.fields[..FIRST_CLICK_ID].iter().any(Option::is_some)
    }

    /// Takes the manual fields of `other`, all of them: a campaign is never put together from two.
    pub(super) fn override_manual(&mut self, other: Self) {
        for (own, other) in self.fields.iter_mut().zip(other.fields).take(FIRST_CLICK_ID) {
            *own = other;
        }
    }

    /// Cuts all values to their limit.
    pub(super) fn bound(&mut self, limits: &Limits, oddities: &mut Oddities) {
        for value in self.fields.iter_mut().chain(&mut self.url_params) {
            *value = value.take().map(|value| cut(value, limits.traffic_value_chars, oddities));
        }
    }

    /// The event params that GA4 writes beside it.
    pub(super) fn params(&self) -> impl Iterator<Item = Param<'a>> + '_ {
        let fields = PARAM_KEYS.iter().zip(&self.fields);
        let others = URL_PARAMS.iter().zip(&self.url_params);
        fields.chain(others).filter(|(key, _)| !key.is_empty()).filter_map(|(key, value)| {
            let value = value.clone()?;
            Some((Cow::Borrowed(*key), Value::Text(value)))
        })
    }

    pub(super) fn write(&self, members: &mut Members<'_>) {
        for (name, value) in FIELDS.iter().zip(&self.fields) {
            members.text(name, value.as_deref());
        }
    }
}

fn usable(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if value.trim().is_empty() {
        return None;
    }
    if value.contains('\0') { Some(Cow::Owned(value.replace('\0', ""))) } else { Some(value) }
}

/// The host of a page address, lower case, without port and user.
pub(super) fn host(location: &str) -> Option<String> {
    let (scheme, rest) = location.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = host.split(':').next().unwrap_or(host);
    (!host.is_empty()).then(|| host.to_lowercase())
}

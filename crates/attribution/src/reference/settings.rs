//! Project variables that the rules read.

use std::fmt;

use super::Text;
use crate::models::Rules;

/// Microseconds of one lookback day: always 86,400 seconds, whatever the calendar `[2.14]`.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// One key event and how far back its conversions look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEvent {
    /// GA4 event name, matched exactly.
    pub event_name: Text,
    /// Window length in days of 86,400 s.
    pub lookback_days: u32,
}

/// What counts as one touch (section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TouchGrain {
    /// Each change of evidence inside a session `[2.3]`.
    Click,
    /// One touch per session, as GA4's session reports count.
    Session,
}

/// Where a repeated transaction id is the same order `[2.20]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderDedupeScope {
    /// Only on the same device (person).
    Device,
    /// Anywhere in the property.
    Property,
}

/// Who is one person across devices `[2.26]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Each device for itself.
    Device,
    /// The devices known at the conversion's time to have had its user.
    UserAsof,
    /// Those known up to some time later.
    UserRetro {
        /// Days of 86,400 s after the conversion.
        days: u32,
    },
}

/// How devices are joined, and which links are none `[2.26]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRules {
    /// Who is one person.
    pub identity: Identity,
    /// A device with more users links nobody.
    pub max_users_per_device: usize,
    /// A user on more devices links none.
    pub max_devices_per_user: usize,
}

impl Default for IdentityRules {
    fn default() -> Self {
        Self { identity: Identity::Device, max_users_per_device: 5, max_devices_per_user: 50 }
    }
}

/// Everything the fold must know besides the events.
#[derive(Clone)]
pub struct Settings<'a> {
    /// Part of every session key.
    pub property_id: Text,
    /// The credited events `[2.13]`; of two entries with one name the first counts.
    pub key_events: Vec<KeyEvent>,
    /// What one touch is.
    pub touch_grain: TouchGrain,
    /// How far repeated transaction ids are looked for.
    pub order_dedupe_scope: OrderDedupeScope,
    /// Who is one person.
    pub identity: IdentityRules,
    /// Channels whose touches are removed, matched exactly `[2.6]`.
    pub excluded_channels: Vec<Text>,
    /// What the attribution models read.
    pub rules: Rules,
    /// Local midnight of the first loaded day, in microseconds UTC `[2.15]`.
    pub first_loaded_at: i64,
    /// Days since 1970 of a UTC microsecond in the property's time zone `[2.23]`.
    pub local_date: &'a dyn Fn(i64) -> i32,
    /// Channel of displayed (source, medium, campaign); asked for all touches but Direct ones.
    pub classify: &'a dyn Fn(&str, &str, &str) -> Text,
}

impl fmt::Debug for Settings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("property_id", &self.property_id)
            .field("key_events", &self.key_events)
            .field("touch_grain", &self.touch_grain)
            .field("order_dedupe_scope", &self.order_dedupe_scope)
            .field("identity", &self.identity)
            .field("excluded_channels", &self.excluded_channels)
            .field("rules", &self.rules)
            .field("first_loaded_at", &self.first_loaded_at)
            .finish_non_exhaustive()
    }
}

impl Settings<'_> {
    /// The window of an event name, `None` when it is no key event.
    pub(super) fn lookback_days(&self, event_name: &str) -> Option<u32> {
        let key_event = self.key_events.iter().find(|key| &*key.event_name == event_name);
        key_event.map(|key| key.lookback_days)
    }
}

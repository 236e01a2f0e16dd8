//! What the fold answers: the rows of the intermediate models and marts.
//!
//! All lists are sorted, so two answers about the same events are equal as values.

use std::collections::BTreeMap;

use super::{Evidence, Position, Refund, RefundShare, Text};
use crate::models::AttributionModel;

/// One row of `int_sessions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Hash of property, stream, user and session id `[2.16]`.
    pub session_key: Text,
    /// The visitor.
    pub person_key: Text,
    /// The device.
    pub user_pseudo_id: Text,
    /// Data stream.
    pub stream_id: Option<Text>,
    /// GA4's id as decimal text, or `derived:` and the first timestamp.
    pub ga_session_id: Text,
    /// Was the session opened by an event without an id `[2.17]`?
    pub is_derived: bool,
    /// Position of the first event; its timestamp is `session_started_at`.
    pub started: Position,
    /// Timestamp of the last event, microseconds.
    pub session_ended_at: i64,
    /// Local date of the first event, days since 1970.
    pub session_date: i32,
    /// Number of distinct events.
    pub events: u64,
    /// Number of `page_view` events.
    pub page_views: u64,
    /// Did any event say so?
    pub is_engaged: bool,
    /// The first `page_location` in total order.
    pub landing_page: Option<Text>,
    /// The smallest `ga_session_number`.
    pub session_number: Option<i64>,
    /// Session-grain source, `(not set)` when unknown (section 3).
    pub source: Text,
    /// Session-grain medium.
    pub medium: Text,
    /// Session-grain campaign.
    pub campaign: Text,
    /// Which record gave the source: `last_click`, `page`, `param`, `first_user`.
    pub source_record: Option<&'static str>,
}

/// One row of `int_touchpoints`; source, medium and campaign as displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Hash of the session key and the event key of `position`.
    pub touch_id: Text,
    /// The visitor.
    pub person_key: Text,
    /// The session the touch opened or happened in.
    pub session_key: Text,
    /// Its place in the total order; the timestamp is `touched_at`.
    pub position: Position,
    /// `(direct)` for Direct, `(not set)` when missing.
    pub source: Text,
    /// `(none)` for Direct, `(not set)` when missing.
    pub medium: Text,
    /// `(direct)` for Direct, `(not set)` when missing.
    pub campaign: Text,
    /// The click id, null in session grain.
    pub click_id: Option<Text>,
    /// `Direct`, or what the classifier said.
    pub channel: Text,
    /// Is this the absence of evidence `[2.6]`?
    pub is_direct: bool,
    /// Class of the evidence; null for a Direct touch at a session's start and in session grain.
    pub evidence_class: Option<u8>,
    /// Number within the person from 1, counted after excluded channels are removed.
    pub touch_number: u32,
}

/// One row of `int_conversions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Hash of event name and event key.
    pub conversion_id: Text,
    /// The visitor.
    pub person_key: Text,
    /// The device, null without consent.
    pub user_pseudo_id: Option<Text>,
    /// Session of the event, null without a device.
    pub session_key: Option<Text>,
    /// The key event.
    pub event_name: Text,
    /// Its place in the total order; the timestamp is `converted_at`.
    pub position: Position,
    /// Local date, days since 1970.
    pub conversion_date: i32,
    /// Usable transaction id.
    pub transaction_id: Option<Text>,
    /// Revenue in millionths of a currency unit.
    pub revenue_micros: Option<i64>,
    /// Currency of the revenue.
    pub currency: Option<Text>,
    /// Evidence of the event itself `[2.24]`.
    pub evidence: Option<Evidence>,
    /// Had an earlier purchase the same transaction id `[2.20]`?
    pub is_duplicate: bool,
    /// A purchase with neither id nor revenue (section 4).
    pub is_zero_value_without_id: bool,
    /// Neither of the two; only such conversions are credited.
    pub is_counted: bool,
    /// Window of the key event.
    pub lookback_days: u32,
    /// Does the window start at or after the first loaded instant `[2.15]`?
    pub lookback_complete: bool,
}

/// One row of `int_journeys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyStep {
    /// The conversion.
    pub conversion_id: Text,
    /// The touch.
    pub touch_id: Text,
    /// The visitor of both.
    pub person_key: Text,
    /// Place in the journey, from 1.
    pub position: u32,
    /// Length of the journey.
    pub touches: u32,
    /// Whole seconds from touch to conversion, cut.
    pub seconds_before: i64,
    /// Is it at or before the first milestone of the window?
    pub is_before_milestone: bool,
    /// Channel as the conversion sees it.
    pub channel: Text,
}

/// One row of `fct_credits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// The conversion.
    pub conversion_id: Text,
    /// The credited touch, null when the journey has none.
    pub touch_id: Option<Text>,
    /// Who divided.
    pub attribution_model: AttributionModel,
    /// Place of the touch in the journey, null when it has none.
    pub position: Option<u32>,
    /// Share of the conversion in millionths.
    pub credit_micros: i64,
    /// Share of the revenue in millionths, null when the conversion has none.
    pub revenue_micros: Option<i64>,
    /// Currency of the conversion.
    pub currency: Option<Text>,
    /// Local date of the conversion, days since 1970.
    pub conversion_date: i32,
    /// The key event.
    pub event_name: Text,
    /// As displayed.
    pub source: Text,
    /// As displayed.
    pub medium: Text,
    /// As displayed.
    pub campaign: Text,
    /// `Direct`, `(no touch)` or what the classifier said.
    pub channel: Text,
    /// Of the conversion.
    pub lookback_complete: bool,
    /// What refunds took of the revenue, in millionths `[2.21]`.
    pub refunded_micros: i64,
}

/// One row of `mart_first_click` or `mart_last_click`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonClick {
    /// The device.
    pub user_pseudo_id: Text,
    /// The first or last non-direct touch, else the first or last Direct touch.
    pub touch: Touch,
}

/// Grain of `mart_attribution_daily`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DailyKey {
    /// Local date of the conversions, days since 1970.
    pub date: i32,
    /// Who divided.
    pub attribution_model: AttributionModel,
    /// The key event `[2.13]`.
    pub event_name: Text,
    /// Channel of the touches.
    pub channel: Text,
    /// As displayed.
    pub source: Text,
    /// As displayed.
    pub medium: Text,
    /// As displayed.
    pub campaign: Text,
    /// Currency of the conversions; amounts of two currencies never meet `[2.22]`.
    pub currency: Option<Text>,
}

/// Measures of `mart_attribution_daily`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DailyTotals {
    /// Conversions in millionths.
    pub credit_micros: i64,
    /// Revenue in millionths; a missing revenue adds nothing.
    pub revenue_micros: i128,
    /// What refunds took of it.
    pub refunded_micros: i128,
}

/// The whole answer of the fold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attribution {
    /// Number of distinct events.
    pub events: u64,
    /// Event keys that came more than once, with their number of rows `[2.19]`.
    pub copies: BTreeMap<Text, u32>,
    /// By (`person_key`, first event).
    pub sessions: Vec<Session>,
    /// By (`person_key`, position).
    pub touches: Vec<Touch>,
    /// By (`person_key`, position).
    pub conversions: Vec<Conversion>,
    /// By conversion, then `position`.
    pub journeys: Vec<JourneyStep>,
    /// By conversion, attribution model, then position.
    pub credits: Vec<Credit>,
    /// By `user_pseudo_id`.
    pub first_clicks: Vec<PersonClick>,
    /// By `user_pseudo_id`.
    pub last_clicks: Vec<PersonClick>,
    /// By time of the refund.
    pub refunds: Vec<Refund>,
    /// By order, attribution model, then refund.
    pub refund_shares: Vec<RefundShare>,
    /// Credits summed by day and source.
    pub daily: BTreeMap<DailyKey, DailyTotals>,
}

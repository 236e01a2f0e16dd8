//! The rows that the fold reads: the typed columns of `stg_events` that decide attribution.

use std::cmp::Ordering;
use std::sync::Arc;

use super::evidence::usable;

/// Shared text; a caller that reads many events should intern it.
pub type Text = Arc<str>;

/// Source, medium and campaign of one record, never mixed from several `[2.2]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceFields {
    /// Traffic source.
    pub source: Option<Text>,
    /// Traffic medium.
    pub medium: Option<Text>,
    /// Campaign name.
    pub campaign: Option<Text>,
}

impl SourceFields {
    /// Does the record hold anything but placeholders `[2.7]`?
    #[must_use]
    pub fn says_anything(&self) -> bool {
        let fields = [&self.source, &self.medium, &self.campaign];
        fields.into_iter().flatten().any(|value| usable(value).is_some())
    }
}

/// What one event says about where the visitor came from `[2.1]`; values are cleaned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Evidence {
    /// Class 1 (collected) to 5 (referrer); the lowest is the best.
    pub class: u8,
    /// Usable source, medium and campaign.
    pub fields: SourceFields,
    /// The click id, of whatever network.
    pub click_id: Option<Text>,
}

/// One row of `stg_events`. Copies of an event may be present; their order never matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The 128-bit key as hexadecimal text `[2.19]`.
    pub event_key: Text,
    /// Microseconds since 1970, UTC.
    pub event_timestamp: i64,
    /// `batch_page_id`, null as 0.
    pub batch_page_id: i64,
    /// `batch_ordering_id`, null as 0.
    pub batch_ordering_id: i64,
    /// `batch_event_index`, null as 0.
    pub batch_event_index: i64,
    /// GA4 event name.
    pub event_name: Text,
    /// `user_pseudo_id`, or `event:` and the event key when that is null `[2.24]`.
    pub person_key: Text,
    /// The device, null without consent.
    pub user_pseudo_id: Option<Text>,
    /// The signed-in user, null when unknown; only chooses between copies.
    pub user_id: Option<Text>,
    /// Data stream.
    pub stream_id: Option<Text>,
    /// GA4 session id, null on some events `[2.17]`.
    pub ga_session_id: Option<i64>,
    /// `ga_session_number`: 1 for the visitor's first session.
    pub session_number: Option<i64>,
    /// Did GA4 mark the session as engaged on this event?
    pub is_session_engaged: bool,
    /// URL of the page.
    pub page_location: Option<Text>,
    /// Evidence of this row, `None` when it has none.
    pub evidence: Option<Evidence>,
    /// Why its referrer is no touch: a name of `evidence::ReferrerDropped` `[2.8]`.
    pub referrer_dropped: Option<Text>,
    /// Raw event params `source`, `medium`, `campaign`: session grain only (section 3).
    pub params: SourceFields,
    /// Raw `traffic_source`: session grain of first sessions only (section 3).
    pub first_user: SourceFields,
    /// Raw `session_traffic_source_last_click.cross_channel_campaign`: session grain only.
    pub last_click: SourceFields,
    /// Usable transaction id (section 4).
    pub transaction_id: Option<Text>,
    /// Revenue in millionths of a currency unit.
    pub revenue_micros: Option<i64>,
    /// Currency of the revenue.
    pub currency: Option<Text>,
    /// Days since 1970 of the export's `event_date`, whose copies are one event `[2.19]`.
    pub event_date: i32,
    /// Term of the evidence; only chooses between copies.
    pub term: Option<Text>,
    /// Content of the evidence; only chooses between copies.
    pub content: Option<Text>,
    /// Platform; only chooses between copies.
    pub platform: Option<Text>,
}

impl Event {
    /// Where the event stands in the total order `[2.5]`.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            timestamp: self.event_timestamp,
            batch_page_id: self.batch_page_id,
            batch_ordering_id: self.batch_ordering_id,
            batch_event_index: self.batch_event_index,
            event_key: self.event_key.clone(),
        }
    }

    /// Compares in the total order `[2.5]`.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let key = |event: &Self| {
            let batch = (event.batch_page_id, event.batch_ordering_id, event.batch_event_index);
            (event.event_timestamp, batch)
        };
        key(self).cmp(&key(other)).then_with(|| self.event_key.cmp(&other.event_key))
    }

    /// Chooses between copies of one event `[2.19]`: the least content wins, null first.
    ///
    /// First what only copies with an id of the sender's own differ in: time, batch ids, session, page and campaign
    /// params; of these the earliest wins. Then `user_id`, `transaction_id`, `revenue`, `source`, `medium`,
    /// `campaign`, `click_id`, `term`, `content`, `evidence_class`, `currency`, `platform`, then the first-user and
    /// last-click triples and `referrer_dropped`.
    #[must_use]
    pub fn content_order(&self, other: &Self) -> Ordering {
        fn place(event: &Event) -> impl Ord + '_ {
            let batch = (event.batch_page_id, event.batch_ordering_id, event.batch_event_index);
            let session = (event.ga_session_id, event.session_number, event.is_session_engaged);
            let page = (event.page_location.as_deref(), triple(&event.params));
            (event.event_timestamp, batch, session, page)
        }
        fn evidence(event: &Event) -> impl Ord + '_ {
            let evidence = event.evidence.as_ref();
            let fields = evidence.map(|found| triple(&found.fields));
            let words = (event.term.as_deref(), event.content.as_deref());
            (fields, evidence.and_then(|found| found.click_id.as_deref()), words)
        }
        fn order(event: &Event) -> impl Ord + '_ {
            (event.user_id.as_deref(), event.transaction_id.as_deref(), event.revenue_micros)
        }
        fn rest(event: &Event) -> impl Ord + '_ {
            let class = event.evidence.as_ref().map(|found| found.class);
            let names = (class, event.currency.as_deref(), event.platform.as_deref());
            let triples = [&event.first_user, &event.last_click].map(triple);
            (names, triples, event.referrer_dropped.as_deref())
        }
        place(self)
            .cmp(&place(other))
            .then_with(|| order(self).cmp(&order(other)))
            .then_with(|| evidence(self).cmp(&evidence(other)))
            .then_with(|| rest(self).cmp(&rest(other)))
    }
}

fn triple(fields: &SourceFields) -> [Option<&str>; 3] {
    [fields.source.as_deref(), fields.medium.as_deref(), fields.campaign.as_deref()]
}

/// A place in the total order `[2.5]`; equal only for the same event.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Microseconds since 1970, UTC.
    pub timestamp: i64,
    /// `batch_page_id`, null as 0.
    pub batch_page_id: i64,
    /// `batch_ordering_id`, null as 0.
    pub batch_ordering_id: i64,
    /// `batch_event_index`, null as 0.
    pub batch_event_index: i64,
    /// Key of the event, which ends every tie.
    pub event_key: Text,
}

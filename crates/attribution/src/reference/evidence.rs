//! What one raw row says about where the visitor came from: the judge of `stg_events`' evidence.
//!
//! Five classes; the first that yields anything wins, and all fields come from it
//! `[2.1, 2.2, 2.9]`.

mod raw;
mod url;

pub use raw::{CollectedSource, Item, Param, ParamValue, RawEvent};
pub use url::{host, query_value};

use super::{Evidence, SourceFields, Text};

/// Lists that decide about referrers.
#[derive(Clone)]
pub struct ReferrerRules<'a> {
    /// Var `referral_exclusions`: hosts whose referrals (and their subdomains') are dropped.
    pub exclusions: &'a [&'a str],
    /// Name of the search engine of a host without `www.`, if it is one.
    pub search_engine: &'a dyn Fn(&str) -> Option<Text>,
    /// Is a host without `www.` an AI assistant?
    pub is_ai_assistant: &'a dyn Fn(&str) -> bool,
}

/// Why a referrer is no touch `[2.8]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrerDropped {
    /// The page's own host, a subdomain of it or a parent domain.
    OwnHost,
    /// On the exclusion list.
    Excluded,
    /// GA4 said so by param `ignore_referrer`.
    IgnoreReferrer,
}

impl ReferrerDropped {
    /// The value of column `referrer_dropped`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnHost => "own_host",
            Self::Excluded => "excluded",
            Self::IgnoreReferrer => "ignore_referrer",
        }
    }
}

/// The evidence columns of `stg_events`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derived {
    /// Class, source, medium, campaign and click id; `None` when no class yields.
    pub evidence: Option<Evidence>,
    /// From the same record.
    pub term: Option<Text>,
    /// From the same record.
    pub content: Option<Text>,
    /// Set whenever the row has an external-looking referrer that must not count, even when a
    /// better class wins.
    pub referrer_dropped: Option<ReferrerDropped>,
}

/// Derives the evidence columns of one row.
#[must_use]
pub fn derive(event: &RawEvent, rules: &ReferrerRules<'_>) -> Derived {
    let referrer_dropped = referrer_dropped(event, rules);
    let found = collected(event)
        .or_else(|| params(event))
        .or_else(|| url_utm(event))
        .or_else(|| click_id(event))
        .or_else(|| if referrer_dropped.is_none() { referrer(event, rules) } else { None });
    let Some(Found { class, source, medium, campaign, click_id, term, content }) = found else {
        return Derived { referrer_dropped, ..Derived::default() };
    };
    let text = |value: Option<String>| value.map(Text::from);
    let fields =
        SourceFields { source: text(source), medium: text(medium), campaign: text(campaign) };
    Derived {
        evidence: Some(Evidence { class, fields, click_id: text(click_id) }),
        term: text(term),
        content: text(content),
        referrer_dropped,
    }
}

/// A value without surrounding white space, `None` when it says nothing `[2.7]`.
#[must_use]
pub fn usable(value: &str) -> Option<&str> {
    const NOTHING: [&str; 5] = ["", "(not set)", "undefined", "null", "(data not available)"];
    let value = value.trim();
    let says_nothing = NOTHING.iter().any(|nothing| value.eq_ignore_ascii_case(nothing));
    (!says_nothing).then_some(value)
}

/// Is a visit with this evidence Direct all the same `[2.6]`?
#[must_use]
pub fn is_direct(evidence: &Evidence) -> bool {
    let absent = |value: &Option<Text>, names: &[&str]| {
        let value = value.as_deref().and_then(usable);
        value.is_none_or(|value| names.iter().any(|name| value.eq_ignore_ascii_case(name)))
    };
    let fields = &evidence.fields;
    absent(&fields.source, &["(direct)", "direct"])
        && absent(&fields.medium, &["(none)"])
        && evidence.click_id.is_none()
}

/// What one class found.
#[derive(Default)]
struct Found {
    class: u8,
    source: Option<String>,
    medium: Option<String>,
    campaign: Option<String>,
    click_id: Option<String>,
    term: Option<String>,
    content: Option<String>,
}

impl Found {
    fn set(mut self, source: &str, medium: &str) -> Self {
        self.source = Some(source.to_owned());
        self.medium = Some(medium.to_owned());
        self
    }

    /// Lets a Google click id speak where the record does not say better `[2.9]`.
    fn filled_by_google_click(self) -> Self {
        let placeholder = |value: &Option<String>, names: &[&str]| {
            let value = value.as_deref();
            value.is_none_or(|value| names.iter().any(|name| value.eq_ignore_ascii_case(name)))
        };
        let says_nothing = self.source.is_none() && self.medium.is_none();
        let is_organic = placeholder(&self.campaign, &["(organic)", "(referral)"])
            && placeholder(&self.medium, &["organic"]);
        if says_nothing || is_organic { self.set("google", "cpc") } else { self }
    }
}

fn owned(value: Option<&str>) -> Option<String> {
    value.and_then(usable).map(str::to_owned)
}

/// Class 1: `collected_traffic_source`.
fn collected(event: &RawEvent) -> Option<Found> {
    let record = event.collected.as_ref()?;
    let read = |value: &Option<String>| owned(value.as_deref());
    let (gclid, dclid, srsltid) = (read(&record.gclid), read(&record.dclid), read(&record.srsltid));
    let found = Found {
        class: 1,
        source: read(&record.manual_source),
        medium: read(&record.manual_medium),
        campaign: read(&record.manual_campaign_name),
        click_id: gclid.clone().or_else(|| dclid.clone()).or_else(|| srsltid.clone()),
        term: read(&record.manual_term),
        content: read(&record.manual_content),
    };
    let is_empty = found.source.is_none() && found.medium.is_none();
    match (gclid, dclid, srsltid) {
        (Some(_), _, _) => Some(found.filled_by_google_click()),
        (_, Some(_), _) if is_empty => Some(found.set("dbm", "cpm")),
        (_, None, Some(_)) if is_empty => Some(found.set("google", "organic")),
        (None, None, None) if is_empty && found.campaign.is_none() => None,
        _ => Some(found),
    }
}

/// Class 2: event params. Direct by word and without a click id is the absence of evidence.
fn params(event: &RawEvent) -> Option<Found> {
    let read = |key| owned(event.text_param(key));
    let found = Found {
        class: 2,
        source: read("source"),
        medium: read("medium"),
        campaign: read("campaign"),
        click_id: read("gclid"),
        term: read("term"),
        content: read("content"),
    };
    if found.source.is_none() && found.medium.is_none() && found.campaign.is_none() {
        return None;
    }
    let absent = |value: &Option<String>, name: &str| {
        value.as_ref().is_none_or(|value| value.eq_ignore_ascii_case(name))
    };
    let is_direct = absent(&found.source, "(direct)") && absent(&found.medium, "(none)");
    match &found.click_id {
        None if is_direct => None,
        None => Some(found),
        Some(_) => Some(found.filled_by_google_click()),
    }
}

/// Click ids in the order they are looked for in a URL, with the source and medium they prove.
const CLICK_IDS: [(&str, &str, &str); 8] = [
    ("gclid", "google", "cpc"),
    ("gbraid", "google", "cpc"),
    ("wbraid", "google", "cpc"),
    ("gclsrc", "google", "cpc"),
    ("dclid", "dbm", "cpm"),
    ("msclkid", "bing", "cpc"),
    ("srsltid", "google", "organic"),
    ("fbclid", "facebook", "referral"),
];

fn url_value(event: &RawEvent, key: &str) -> Option<String> {
    owned(query_value(event.text_param("page_location")?, key).as_deref())
}

/// Class 3: `utm_` values in the page's URL.
fn url_utm(event: &RawEvent) -> Option<Found> {
    let read = |key| url_value(event, key);
    let click = CLICK_IDS.iter().find_map(|(key, _, _)| Some((*key, read(key)?)));
    let is_google =
        click.as_ref().is_some_and(|(key, _)| matches!(*key, "gclid" | "gbraid" | "wbraid"));
    let found = Found {
        class: 3,
        source: read("utm_source"),
        medium: read("utm_medium"),
        campaign: read("utm_campaign"),
        click_id: click.map(|(_, value)| value),
        term: read("utm_term"),
        content: read("utm_content"),
    };
    let is_named = found.source.is_some() || found.medium.is_some() || found.campaign.is_some();
    if !is_named && read("utm_id").is_none() {
        return None;
    }
    Some(if is_google { found.filled_by_google_click() } else { found })
}

/// Class 4: a click id in the page's URL, else param `gclid`.
fn click_id(event: &RawEvent) -> Option<Found> {
    let in_url = CLICK_IDS
        .iter()
        .find_map(|(key, source, medium)| Some((url_value(event, key)?, *source, *medium)));
    let in_param = || Some((owned(event.text_param("gclid"))?, "google", "cpc"));
    let (value, source, medium) = in_url.or_else(in_param)?;
    let found = Found { class: 4, click_id: Some(value), ..Found::default() };
    Some(found.set(source, medium))
}

/// Class 5: an external referrer.
fn referrer(event: &RawEvent, rules: &ReferrerRules<'_>) -> Option<Found> {
    let host = referrer_host(event)?;
    let (source, medium, campaign) = match (rules.search_engine)(&host) {
        Some(engine) => (engine.to_string(), "organic", "(organic)"),
        None if (rules.is_ai_assistant)(&host) => (host, "ai-assistant", "(ai-assistant)"),
        None => (host, "referral", "(referral)"),
    };
    let found = Found { class: 5, campaign: Some(campaign.to_owned()), ..Found::default() };
    Some(found.set(&source, medium))
}

fn referrer_host(event: &RawEvent) -> Option<String> {
    event.text_param("page_referrer").and_then(host).map(without_www)
}

/// `[2.8]`: why the referrer must not count, `None` when it may or when there is none.
fn referrer_dropped(event: &RawEvent, rules: &ReferrerRules<'_>) -> Option<ReferrerDropped> {
    let referrer = referrer_host(event)?;
    let own = event.text_param("page_location").and_then(host).map(without_www);
    if own.is_some_and(|own| is_within(&referrer, &own) || is_within(&own, &referrer)) {
        return Some(ReferrerDropped::OwnHost);
    }
    if rules.exclusions.iter().any(|entry| is_within(&referrer, &entry.trim().to_lowercase())) {
        return Some(ReferrerDropped::Excluded);
    }
    let ignore = event.text_param("ignore_referrer").map(str::trim);
    let ignored = ignore.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    ignored.then_some(ReferrerDropped::IgnoreReferrer)
}

fn without_www(host: String) -> String {
    host.strip_prefix("www.").map(str::to_owned).unwrap_or(host)
}

/// Is `host` the `domain` or a subdomain of it? By labels, never by substring.
fn is_within(host: &str, domain: &str) -> bool {
    !domain.is_empty()
        && host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests;

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
    /// Var `own_domains`: domains of the business besides the page's own one.
    pub own_domains: &'a [&'a str],
    /// Var `shared_domains`: below one of them, two hosts are two owners.
    pub shared_domains: &'a [&'a str],
    /// Name of the search engine of a host without `www.`, if it is one.
    pub search_engine: &'a dyn Fn(&str) -> Option<Text>,
    /// Is a host without `www.` an AI assistant?
    pub is_ai_assistant: &'a dyn Fn(&str) -> bool,
}

/// Why a referrer is no touch `[2.8]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferrerDropped {
    /// Of the page's own registrable domain, or of one of var `own_domains`.
    OwnHost,
    /// On the exclusion list.
    Excluded,
    /// GA4 said so by param `ignore_referrer`.
    IgnoreReferrer,
}

impl ReferrerDropped {
    /// What the lists say of a site that sent the visitor.
    fn of_site(site: &str, event: &RawEvent, rules: &ReferrerRules<'_>) -> Option<Self> {
        if is_own(site, event, rules) {
            return Some(Self::OwnHost);
        }
        is_listed(site, rules.exclusions).then_some(Self::Excluded)
    }

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
    let spoken = |found: &Found| !found.is_direct() && found.dropped(event, rules).is_none();
    let found = collected(event)
        .filter(spoken)
        .or_else(|| params(event).filter(spoken))
        .or_else(|| url_utm(event).filter(|found| !found.is_direct()))
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

    /// Lets the record's click id, of this network, speak where the record does not `[2.9]`.
    fn filled_by(self, network: Option<Network>) -> Self {
        let Some(Network { source, medium }) = network else { return self };
        let says_nothing = self.source.is_none() && self.medium.is_none();
        let is_open = is_placeholder(&self.campaign, &["(organic)", "(referral)"])
            && is_placeholder(&self.medium, &["organic", "referral"]);
        let is_google_ad = (source, medium) == ("google", "cpc");
        let may_speak = says_nothing || (is_google_ad && is_open);
        if !may_speak {
            return self;
        }
        let campaign = self.campaign.clone();
        let campaign =
            campaign.filter(|_| !is_placeholder(&self.campaign, &["(organic)", "(referral)"]));
        Self { campaign, ..self.set(source, medium) }
    }

    /// `[2.6]`: Direct is the absence of evidence, whether words say so or nothing does; a campaign alone is none.
    fn is_direct(&self) -> bool {
        is_placeholder(&self.source, &["(direct)", "direct"])
            && is_placeholder(&self.medium, &["(none)"])
            && self.click_id.is_none()
    }

    /// `[2.8]`: GA4 writes a referral by the site itself, or by a payment hop, as any other, and what it took from a referrer
    /// that it says to ignore; a click id is no referrer's.
    fn dropped(&self, event: &RawEvent, rules: &ReferrerRules<'_>) -> Option<ReferrerDropped> {
        let medium = self.medium.as_ref().map(|medium| medium.to_lowercase())?;
        let source = self.source.as_ref().filter(|_| medium == "referral");
        let listed = source.and_then(|source| {
            let source = without_www(source.to_lowercase());
            ReferrerDropped::of_site(&source, event, rules)
        });
        let from_referrer = ["referral", "organic", "ai-assistant"].contains(&&*medium);
        let is_ignored = from_referrer && self.click_id.is_none() && ignores_referrer(event);
        listed.or(is_ignored.then_some(ReferrerDropped::IgnoreReferrer))
    }
}

/// Null, or one of some words.
fn is_placeholder(value: &Option<String>, words: &[&str]) -> bool {
    let value = value.as_deref();
    value.is_none_or(|value| words.iter().any(|word| value.eq_ignore_ascii_case(word)))
}

/// Source and medium that a click id proves.
#[derive(Clone, Copy)]
struct Network {
    source: &'static str,
    medium: &'static str,
}

fn owned(value: Option<&str>) -> Option<String> {
    value.and_then(usable).map(str::to_owned)
}

/// Class 1: `collected_traffic_source`.
fn collected(event: &RawEvent) -> Option<Found> {
    let record = event.collected.as_ref()?;
    let read = |value: &Option<String>| owned(value.as_deref());
    let clicks = [("gclid", &record.gclid), ("dclid", &record.dclid), ("srsltid", &record.srsltid)];
    let click = clicks.into_iter().find_map(|(key, value)| Some((read(value)?, network(key)?)));
    let found = Found {
        class: 1,
        source: read(&record.manual_source),
        medium: read(&record.manual_medium),
        campaign: read(&record.manual_campaign_name),
        click_id: click.as_ref().map(|(value, _)| value.clone()),
        term: read(&record.manual_term),
        content: read(&record.manual_content),
    };
    let is_named = found.source.is_some() || found.medium.is_some() || found.campaign.is_some();
    let network = click.map(|(_, network)| network);
    (is_named || network.is_some()).then(|| found.filled_by(network))
}

/// Class 2: event params.
fn params(event: &RawEvent) -> Option<Found> {
    let read = |key| owned(event.text_param(key).as_deref());
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
    // Direct is judged by what the record says itself, before its click id speaks for it.
    let network = found.click_id.as_ref().and_then(|_| network("gclid"));
    Some(found.filled_by(network))
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

fn network(key: &str) -> Option<Network> {
    let (_, source, medium) = CLICK_IDS.iter().find(|(name, _, _)| *name == key)?;
    Some(Network { source, medium })
}

fn url_value(event: &RawEvent, key: &str) -> Option<String> {
    owned(query_value(&event.text_param("page_location")?, key).as_deref())
}

/// The URL's click id, of Google's ad networks or of the others.
fn url_click(event: &RawEvent, google: bool) -> Option<(String, Network)> {
    let is_google_ad = |source: &str, medium: &str| (source, medium) == ("google", "cpc");
    let wanted =
        CLICK_IDS.iter().filter(|(_, source, medium)| is_google_ad(source, medium) == google);
    let mut found = wanted.filter_map(|(key, source, medium)| {
        Some((url_value(event, key)?, Network { source, medium }))
    });
    found.next()
}

/// Class 3: `utm_` values in the page's URL.
fn url_utm(event: &RawEvent) -> Option<Found> {
    let read = |key| url_value(event, key);
    let click = url_click(event, true).or_else(|| url_click(event, false));
    let found = Found {
        class: 3,
        source: read("utm_source"),
        medium: read("utm_medium"),
        campaign: read("utm_campaign"),
        click_id: click.as_ref().map(|(value, _)| value.clone()),
        term: read("utm_term"),
        content: read("utm_content"),
    };
    let is_named = found.source.is_some() || found.medium.is_some() || found.campaign.is_some();
    if !is_named && read("utm_id").is_none() {
        return None;
    }
    Some(found.filled_by(click.map(|(_, network)| network)))
}

/// Class 4: a click id in the page's URL or param `gclid`, Google's before the others.
fn click_id(event: &RawEvent) -> Option<Found> {
    let in_param = || Some((owned(event.text_param("gclid").as_deref())?, network("gclid")?));
    let click = url_click(event, true).or_else(in_param).or_else(|| url_click(event, false));
    let (value, Network { source, medium }) = click?;
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
    event.text_param("page_referrer").as_deref().and_then(host).map(without_www)
}

/// `[2.8]`: why the referrer must not count, `None` when it may or when nothing says that there is one. Without a
/// referrer of its own the event may name one in a record, as long as no better record speaks.
fn referrer_dropped(event: &RawEvent, rules: &ReferrerRules<'_>) -> Option<ReferrerDropped> {
    if let Some(referrer) = referrer_host(event) {
        let ignored = || ignores_referrer(event).then_some(ReferrerDropped::IgnoreReferrer);
        return ReferrerDropped::of_site(&referrer, event, rules).or_else(ignored);
    }
    let collected = collected(event);
    let of = |found: &Found| found.dropped(event, rules);
    let is_spoken =
        collected.as_ref().is_some_and(|found| !found.is_direct() && of(found).is_none());
    let named = || params(event).filter(|_| !is_spoken).as_ref().and_then(of);
    collected.as_ref().and_then(of).or_else(named)
}

/// Does GA4 say that the referrer is no source?
fn ignores_referrer(event: &RawEvent) -> bool {
    let ignore = event.text_param("ignore_referrer");
    ignore.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// Is a host the page's own one, below or above it or beside it, or of var `own_domains` `[2.8]`?
fn is_own(site: &str, event: &RawEvent, rules: &ReferrerRules<'_>) -> bool {
    let page = event.text_param("page_location").as_deref().and_then(host).map(without_www);
    let is_near = |page: &String| {
        is_within(site, page)
            || is_within(page, site)
            || registrable(site) == registrable(page) && !is_listed(page, rules.shared_domains)
    };
    page.as_ref().is_some_and(is_near) || is_listed(site, rules.own_domains)
}

/// The last two labels of a host, or three where they end as in `co.uk`; an address of numbers is its own.
fn registrable(host: &str) -> &str {
    const GENERAL: [&str; 12] =
        ["ac", "co", "com", "edu", "gob", "gov", "mil", "ne", "net", "nom", "or", "org"];
    let labels: Vec<&str> = host.split('.').collect();
    let [before @ .., second, top] = labels.as_slice() else { return host };
    let is_name = |label: &str| {
        label.starts_with(|first: char| first.is_ascii_lowercase())
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let is_country = top.len() == 2 && top.chars().all(|c| c.is_ascii_lowercase());
    let wanted = match before.last() {
        Some(third) if is_country && GENERAL.contains(second) && !third.is_empty() => 3,
        _ if is_name(top) && !second.is_empty() => 2,
        _ => return host,
    };
    let length: usize = labels.iter().rev().take(wanted).map(|label| label.len() + 1).sum();
    host.get(host.len() + 1 - length..).unwrap_or(host)
}

/// Is a host one of these domains, or below one?
fn is_listed(site: &str, domains: &[&str]) -> bool {
    domains.iter().any(|domain| is_within(site, &domain.trim().to_lowercase()))
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

//! What rules, attribution models and evidence are called, in words for people.

/// Attribution models in the order in which they are shown; others follow by name.
const ORDER: [&str; 4] = ["first_click", "last_click", "first_touch", "last_touch"];

/// Where an attribution model stands among others.
pub(super) fn place(model: &str) -> usize {
    ORDER.iter().position(|known| *known == model).unwrap_or(ORDER.len())
}

/// A model's name for people, its explanation, and the section of the semantics.
pub(super) fn model(name: &str) -> (String, &'static str, &'static str) {
    let (name, explained, section) = match name {
        "first_click" => (
            "First non-direct click",
            "all credit to the first touch in the lookback window that is not Direct; to Direct when there is no other",
            "2.6",
        ),
        "last_click" => (
            "Last non-direct click",
            "all credit to the last touch in the lookback window that is not Direct; to Direct when there is no other",
            "2.6",
        ),
        "first_touch" => (
            "First touch",
            "all credit to the first touch in the lookback window, Direct included",
            "2.6",
        ),
        "last_touch" => (
            "Last touch",
            "all credit to the last touch in the lookback window, Direct included",
            "2.6",
        ),
        "last_paid" | "last_paid_click" => (
            "Last paid click",
            "all credit to the last paid touch in the lookback window; as last click when there is none",
            "2.6",
        ),
        "linear" => ("Linear", "the same share for each touch in the lookback window", "2.29"),
        other if other.starts_with("time_decay") => (
            "Time decay",
            "the later a touch, the larger its share: it doubles with each half-life",
            "2.28",
        ),
        other if other.starts_with("position") => (
            "Position based",
            "fixed shares for the first and the last touch, the rest for those between",
            "2.27",
        ),
        other if other.starts_with("markov") => (
            "Markov",
            "by how many conversions would be lost without a channel, over all journeys",
            "2.31",
        ),
        other if other.starts_with("shapley") => (
            "Shapley",
            "by what a channel adds to the others, averaged over all their combinations",
            "2.31",
        ),
        other => {
            let words = other.replace('_', " ");
            let mut chars = words.chars();
            let name = chars
                .next()
                .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect());
            return (name, "a model of this project: see fct_credits", "");
        }
    };
    (name.to_owned(), explained, section)
}

/// How a model treats Direct.
pub(super) fn direct(model: &str) -> &'static str {
    match model.ends_with("_click") || model.starts_with("last_paid") {
        true => "Direct gets credit only when the window holds nothing else",
        false => "Direct counts like every other touch",
    }
}

/// A channel rule, without its version, in words.
pub(super) fn rule(rule: &str) -> &'static str {
    match rule.rsplit(' ').next().unwrap_or_default() {
        "direct" => "no source and no medium are known",
        "cross_network" => "the campaign is named cross-network",
        "paid_shopping" => "a shopping site or campaign, and a paid medium",
        "paid_search" => "a search engine, and a paid medium",
        "paid_social" => "a social network, and a paid medium",
        "paid_video" => "a video site, and a paid medium",
        "display" => "the medium is display, banner, expandable, interstitial or cpm",
        "paid_other" => "a paid medium, and no known kind of site",
        "organic_shopping" => "a shopping site or campaign, not paid",
        "organic_social" => "a social network or a social medium, not paid",
        "organic_video" => "a video site or a video medium, not paid",
        "ai_assistant" => "the page that linked here is an AI assistant",
        "organic_search" => "a search engine, or the medium is organic",
        "referral" => "the medium is referral, app or link",
        "email" => "source or medium is email",
        "affiliates" => "the medium is affiliate",
        "audio" => "the medium is audio",
        "sms" => "source or medium is sms",
        "mobile_push" => "the medium is a push or mobile notification, or the source is firebase",
        "unassigned" => "a click that no rule matches",
        _ => "a rule of this project",
    }
}

/// What class of evidence a touch rests on.
pub(super) fn evidence(class: Option<i64>, is_direct: bool) -> (&'static str, &'static str) {
    match class {
        Some(1) => ("collected", "what Analytics collected for the event"),
        Some(2) => ("event parameters", "source, medium and campaign in the event's parameters"),
        Some(3) => ("utm", "utm parameters in the page's address"),
        Some(4) => ("click id", "an ad click's id in the page's address"),
        Some(5) => ("referrer", "the page that linked here"),
        _ if is_direct => ("none", "nothing says where the visit came from"),
        _ => ("session", "the session's own record of its source"),
    }
}

/// A span of time in words, rounded down.
pub(super) fn span(seconds: i64) -> String {
    let (count, unit) = match seconds.abs() {
        seconds @ 0..60 => (seconds, "second"),
        seconds @ 60..3_600 => (seconds / 60, "minute"),
        seconds @ 3_600..172_800 => (seconds / 3_600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

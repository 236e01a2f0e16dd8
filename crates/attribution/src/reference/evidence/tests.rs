use super::*;

const PAGE: &str = "https://www.shop.example/landing";

fn engine(host: &str) -> Option<Text> {
    matches!(host, "google.com" | "google.de").then(|| "google".into())
}

fn is_assistant(host: &str) -> bool {
    host == "chatgpt.com"
}

fn rules() -> ReferrerRules<'static> {
    const EXCLUSIONS: &[&str] = &["PayPal.com", "stripe.com"];
    ReferrerRules {
        exclusions: EXCLUSIONS,
        own_domains: &["shop-checkout.example"],
        shared_domains: &["hosted.example"],
        search_engine: &engine,
        is_ai_assistant: &is_assistant,
    }
}

fn row(params: &[(&str, &str)]) -> RawEvent {
    let params = params.iter().map(|(key, value)| Param::text(key, value)).collect();
    RawEvent { params, ..RawEvent::default() }
}

/// A page view of `PAGE` with this query.
fn page(query: &str) -> RawEvent {
    row(&[("page_location", &format!("{PAGE}?{query}"))])
}

fn from_referrer(url: &str) -> RawEvent {
    row(&[("page_location", PAGE), ("page_referrer", url)])
}

fn with_collected(fill: impl FnOnce(&mut CollectedSource)) -> RawEvent {
    let mut record = CollectedSource::default();
    fill(&mut record);
    RawEvent { collected: Some(record), ..page("utm_source=url") }
}

/// `class source/medium/campaign click_id`, with `-` for null; empty when there is no evidence.
fn shown(event: &RawEvent) -> String {
    let Some(evidence) = derive(event, &rules()).evidence else { return String::new() };
    let show = |value: &Option<Text>| value.as_deref().unwrap_or("-").to_owned();
    let fields = &evidence.fields;
    let triple = [&fields.source, &fields.medium, &fields.campaign].map(show).join("/");
    format!("{} {triple} {}", evidence.class, show(&evidence.click_id))
}

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// [2.7]
#[test]
fn empty_words_are_not_usable() {
    for word in ["", "  ", "(Not Set)", "undefined", "NULL", " (data not available) "] {
        assert_eq!(usable(word), None, "{word}");
    }
    assert_eq!(usable(" (data deleted) "), Some("(data deleted)"));
    assert_eq!(usable("<Other>"), Some("<Other>"));
    assert_eq!(usable("(none)"), Some("(none)"));
}

/// [2.1, 2.2] All fields from the best class, never a mixture.
#[test]
fn the_best_class_gives_all_fields() {
    assert_eq!(shown(&with_collected(|c| c.manual_medium = some(" Email "))), "1 -/Email/- -");
    assert_eq!(shown(&with_collected(|c| c.manual_source = some("(not set)"))), "3 url/-/- -");
    let params = row(&[
        ("page_location", "https://a.example/?utm_source=url&utm_campaign=url"),
        ("source", "param"),
        ("page_referrer", "https://news.example/"),
    ]);
    assert_eq!(shown(&params), "2 param/-/- -");
    let term = row(&[("source", "s"), ("term", " t "), ("content", "undefined")]);
    let derived = derive(&term, &rules());
    assert_eq!((derived.term.as_deref(), derived.content), (Some("t"), None));
}

/// [2.6] Direct by word is the absence of evidence, so a lower class may speak.
#[test]
fn direct_params_are_no_evidence() {
    let direct = [("source", "(Direct)"), ("medium", "(none)"), ("campaign", "(direct)")];
    assert_eq!(shown(&row(&direct)), "");
    assert_eq!(shown(&row(&direct[..1])), "");
    assert_eq!(shown(&row(&[("campaign", "summer")])), "");
    let mut with_referrer = row(&direct);
    with_referrer.params.push(Param::text("page_referrer", "https://news.example/"));
    assert_eq!(shown(&with_referrer), "5 news.example/referral/(referral) -");
    let with_click = row(&[direct[0], direct[1], ("gclid", "G")]);
    assert_eq!(shown(&with_click), "2 (Direct)/(none)/- G");
}

/// [2.9] GA4Dataform's cases: explicit UTMs are never overwritten.
#[test]
fn a_google_click_fills_only_what_is_missing() {
    let cases = [
        ("utm_campaign=spring&gclid=G", "3 google/cpc/spring G"),
        ("utm_source=google&gclid=G", "3 google/cpc/- G"),
        ("utm_source=google&utm_medium=organic&gclid=G", "3 google/cpc/- G"),
        ("utm_source=g&utm_medium=organic&utm_campaign=(Organic)&wbraid=W", "3 google/cpc/- W"),
        ("utm_source=bing&utm_medium=cpc&gclid=G", "3 bing/cpc/- G"),
        ("utm_source=mail&utm_campaign=spring&gclid=G", "3 mail/-/spring G"),
        ("utm_source=news&utm_medium=email&gbraid=B", "3 news/email/- B"),
        ("utm_id=77&gclid=(not set)", ""),
        ("utm_campaign=spring&msclkid=M", "3 bing/cpc/spring M"),
    ];
    for (query, expected) in cases {
        assert_eq!(shown(&page(query)), expected, "{query}");
    }
    let gclid = with_collected(|c| c.gclid = some("G"));
    assert_eq!(shown(&gclid), "1 google/cpc/- G");
    let dclid = with_collected(|c| c.dclid = some("D"));
    assert_eq!(shown(&dclid), "1 dbm/cpm/- D");
    let srsltid = with_collected(|c| c.srsltid = some("S"));
    assert_eq!(shown(&srsltid), "1 google/organic/- S");
}

/// [2.9] A click id alone: by key, never by substring; fbclid is not an ad.
#[test]
fn click_ids_speak_alone() {
    let cases = [
        ("gclid=G", "4 google/cpc/- G"),
        ("gclsrc=aw.ds", "4 google/cpc/- aw.ds"),
        ("dclid=D", "4 dbm/cpm/- D"),
        ("msclkid=M", "4 bing/cpc/- M"),
        ("srsltid=S", "4 google/organic/- S"),
        ("fbclid=F", "4 facebook/referral/- F"),
        ("fbclid=F&GCLID=G", "4 google/cpc/- G"),
        ("notgclid=G&q=gclid", ""),
    ];
    for (query, expected) in cases {
        assert_eq!(shown(&page(query)), expected, "{query}");
    }
    assert_eq!(shown(&row(&[("gclid", "G")])), "4 google/cpc/- G");
}

#[test]
fn referrers_are_named_by_their_kind() {
    let cases = [
        ("https://www.google.de/search?q=x", "5 google/organic/(organic) -"),
        ("https://chatgpt.com/", "5 chatgpt.com/ai-assistant/(ai-assistant) -"),
        ("https://WWW.News.example/a", "5 news.example/referral/(referral) -"),
        ("android-app://com.google.android.gm/", ""),
        ("", ""),
    ];
    for (url, expected) in cases {
        assert_eq!(shown(&from_referrer(url)), expected, "{url}");
    }
}

/// [2.8] Dropped, not made direct; by whole labels.
#[test]
fn own_hosts_and_payment_hops_are_dropped() {
    use ReferrerDropped::{Excluded, IgnoreReferrer, OwnHost};
    let dropped = |url| derive(&from_referrer(url), &rules()).referrer_dropped;
    assert_eq!(dropped("https://shop.example/cart"), Some(OwnHost));
    assert_eq!(dropped("https://pay.shop.example/"), Some(OwnHost));
    assert_eq!(dropped("https://workshop.example/"), None);
    assert_eq!(dropped("https://checkout.stripe.com/pay"), Some(Excluded));
    assert_eq!(dropped("https://www.paypal.com/"), Some(Excluded));
    assert_eq!(dropped("https://notpaypal.com/"), None);
    assert_eq!(shown(&from_referrer("https://checkout.stripe.com/pay")), "");

    let mut ignored = from_referrer("https://news.example/");
    ignored.params.push(Param::text("ignore_referrer", "TRUE"));
    assert_eq!(derive(&ignored, &rules()).referrer_dropped, Some(IgnoreReferrer));
    assert_eq!(shown(&ignored), "");

    let parent = row(&[
        ("page_location", "https://eu.shop.example/"),
        ("page_referrer", "https://shop.example/"),
    ]);
    assert_eq!(derive(&parent, &rules()).referrer_dropped, Some(OwnHost));
}

/// [2.8] Where no referrer is there, the record that names one says so; a better record speaks for itself.
#[test]
fn a_return_may_be_named_by_a_record_alone() {
    use ReferrerDropped::{Excluded, IgnoreReferrer, OwnHost};
    let named = |source: &str, medium: &str, rest: &[(&str, &str)]| {
        let params =
            [("page_location", "https://shop.example/"), ("source", source), ("medium", medium)];
        row(&[&params, rest].concat())
    };
    let dropped = |event: &RawEvent| derive(event, &rules()).referrer_dropped;
    assert_eq!(dropped(&named("www.Shop.example", "Referral", &[])), Some(OwnHost));
    assert_eq!(dropped(&named("paypal.com", "referral", &[])), Some(Excluded));
    assert_eq!(dropped(&named("paypal.com", "email", &[])), None);
    assert_eq!(dropped(&named("partner.org", "referral", &[])), None);
    let ignored = [("ignore_referrer", "true")];
    assert_eq!(dropped(&named("google", "organic", &ignored)), Some(IgnoreReferrer));
    assert_eq!(dropped(&named("news", "email", &ignored)), None);
    let from_elsewhere = [("page_referrer", "https://partner.org/")];
    assert_eq!(dropped(&named("paypal.com", "referral", &from_elsewhere)), None);
    let mut better = named("paypal.com", "referral", &[]);
    let collected = CollectedSource { manual_source: some("mail"), ..CollectedSource::default() };
    better.collected = Some(collected);
    assert_eq!(dropped(&better), None);
}

/// [2.8] Explicit UTMs on the return from a payment page win, and the drop stays visible.
#[test]
fn utms_on_the_return_win() {
    let event = row(&[
        ("page_location", "https://shop.example/thanks?utm_source=mail"),
        ("page_referrer", "https://stripe.com/"),
    ]);
    assert_eq!(shown(&event), "3 mail/-/- -");
    assert_eq!(derive(&event, &rules()).referrer_dropped, Some(ReferrerDropped::Excluded));
}

/// [2.6] Neither a source nor a medium is Direct, by word or by silence, in any class; a click id beside it is a click.
#[test]
fn direct_is_no_evidence_in_any_class() {
    let direct = |c: &mut CollectedSource| c.manual_source = some("Direct");
    assert_eq!(shown(&with_collected(direct)), "3 url/-/- -");
    assert_eq!(shown(&page("utm_source=(direct)&utm_campaign=x")), "");
    assert_eq!(shown(&page("utm_source=(direct)&fbclid=F")), "3 (direct)/-/- F");
    assert_eq!(shown(&page("utm_campaign=x")), "");
    assert_eq!(shown(&page("utm_id=7")), "");
    assert_eq!(shown(&page("utm_medium=(none)&utm_campaign=x")), "");
    assert_eq!(shown(&page("utm_campaign=x&msclkid=M")), "3 bing/cpc/x M");
    assert_eq!(shown(&page("utm_id=7&gclid=G")), "3 google/cpc/- G");
    assert_eq!(shown(&with_collected(|c| c.manual_campaign_name = some("x"))), "3 url/-/- -");
    assert_eq!(shown(&with_collected(|c| c.manual_medium = some("(none)"))), "3 url/-/- -");
    let mut with_referrer = page("utm_campaign=x");
    with_referrer.params.push(Param::text("page_referrer", "https://news.example/"));
    assert_eq!(shown(&with_referrer), "5 news.example/referral/(referral) -");
}

/// [2.8] Hosts beside the page's own one are the property's, by registrable domain, unless strangers share it.
#[test]
fn siblings_are_own_hosts() {
    let cases = [
        ("shop.brand.example", "blog.brand.example", true),
        ("a.b.brand.example", "c.brand.example", true),
        ("shop.brand.co.uk", "blog.brand.co.uk", true),
        ("shop.brand.co.uk", "blog.other.co.uk", false),
        ("brand.co.uk", "other.co.uk", false),
        ("shop.brand.example", "blog.mybrand.example", false),
        ("mine.hosted.example", "other.hosted.example", false),
        ("10.0.0.1", "10.5.0.1", false),
        ("localhost", "localhost", true),
    ];
    for (page, referrer, is_own) in cases {
        let (page, referrer) = (format!("https://{page}/"), format!("https://{referrer}/"));
        let event = row(&[("page_location", &page), ("page_referrer", &referrer)]);
        let dropped = derive(&event, &rules()).referrer_dropped;
        assert_eq!(dropped.is_some(), is_own, "{page} {referrer}");
    }
}

/// [2.8] What GA4 took from a referrer that it says to ignore is no evidence; UTMs in the address are, and so is a click id.
#[test]
fn ignored_referrers_in_params_are_no_evidence() {
    let from = |source: &str, medium: &str, rest: &[(&str, &str)]| {
        let params = [("source", source), ("medium", medium), ("ignore_referrer", "TRUE")];
        shown(&row(&[&params, rest].concat()))
    };
    assert_eq!(from("partner.org", "referral", &[]), "");
    assert_eq!(from("google", "Organic", &[]), "");
    assert_eq!(from("chatgpt.com", "ai-assistant", &[]), "");
    assert_eq!(from("google", "organic", &[("gclid", "G")]), "2 google/cpc/- G");
    assert_eq!(from("news", "email", &[]), "2 news/email/- -");
    let tagged = [("page_location", "https://shop.example/?utm_source=p&utm_medium=referral")];
    assert_eq!(from("partner.org", "referral", &tagged), "3 p/referral/- -");
}

/// [2.8] A referral that GA4 wrote into the params is judged as the referrer itself.
#[test]
fn self_referrals_in_params_are_no_evidence() {
    let from =
        |source: &str| row(&[("page_location", PAGE), ("source", source), ("medium", "Referral")]);
    for own in ["shop.example", "www.Shop.example", "pay.shop.example", "shop-checkout.example"] {
        assert_eq!(shown(&from(own)), "", "{own}");
    }
    assert_eq!(shown(&from("checkout.stripe.com")), "");
    assert_eq!(shown(&from("workshop.example")), "2 workshop.example/Referral/- -");
    let mut news = from("shop.example");
    news.params.push(Param::text("page_referrer", "https://news.example/"));
    assert_eq!(shown(&news), "5 news.example/referral/(referral) -");
    let mail = row(&[("page_location", PAGE), ("source", "shop.example"), ("medium", "email")]);
    assert_eq!(shown(&mail), "2 shop.example/email/- -");
}

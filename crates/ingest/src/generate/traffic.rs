//! The ways into the invented shop. Names are ours; hosts that are not real are under `.example`.

/// How a visit shows where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// Nothing at all: Direct.
    None,
    /// utm parameters in the landing URL.
    Utm,
    /// utm parameters and a click id.
    UtmAndClick,
    /// A click id only, as Google's auto-tagging does.
    ClickOnly,
    /// Only `utm_source`, as chat assistants do.
    SourceOnly,
    /// Nothing but the referrer.
    Referrer,
}

/// One way to reach the shop.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) group: &'static str,
    pub(super) source: &'static str,
    pub(super) medium: &'static str,
    pub(super) campaign: &'static str,
    pub(super) tag: Tag,
    /// Name of the click id.
    pub(super) click: &'static str,
    pub(super) referrer: &'static str,
    /// Weight among first visits.
    pub(super) first: u32,
    /// Weight among later visits.
    pub(super) again: u32,
}

const fn traffic(
    group: &'static str,
    [source, medium, campaign]: [&'static str; 3],
    tag: Tag,
    [click, referrer]: [&'static str; 2],
    [first, again]: [u32; 2],
) -> Traffic {
    Traffic { group, source, medium, campaign, tag, click, referrer, first, again }
}

/// Index of Direct in [`TRAFFIC`].
pub(super) const DIRECT: u8 = 0;

/// Indexes of the payment providers in [`TRAFFIC`]: they send people back, not to us.
pub(super) const PAYMENT: std::ops::Range<u8> = 29..32;

/// All ways to the shop, Direct first, payment providers last.
pub(super) const TRAFFIC: [Traffic; 32] = [
    traffic("Direct", ["(direct)", "(none)", "(direct)"], Tag::None, ["", ""], [150, 460]),
    traffic(
        "Organic Search",
        ["google", "organic", "(organic)"],
        Tag::Referrer,
        ["", "https://www.google.com/"],
        [270, 130],
    ),
    traffic(
        "Organic Search",
        ["bing", "organic", "(organic)"],
        Tag::Referrer,
        ["", "https://www.bing.com/"],
        [28, 12],
    ),
    traffic(
        "Organic Search",
        ["duckduckgo", "organic", "(organic)"],
        Tag::Referrer,
        ["", "https://duckduckgo.com/"],
        [14, 8],
    ),
    traffic(
        "Organic Search",
        ["google", "organic", "(organic)"],
        Tag::ClickOnly,
        ["srsltid", "https://www.google.com/"],
        [24, 6],
    ),
    traffic(
        "Paid Search",
        ["google", "cpc", "brand_search"],
        Tag::UtmAndClick,
        ["gclid", "https://www.google.com/"],
        [46, 40],
    ),
    traffic(
        "Paid Search",
        ["google", "cpc", "generic_shoes"],
        Tag::UtmAndClick,
        ["gclid", "https://www.google.com/"],
        [44, 10],
    ),
    traffic(
        "Paid Search",
        ["google", "cpc", "Search | Brand"],
        Tag::ClickOnly,
        ["gclid", "https://www.google.com/"],
        [40, 26],
    ),
    traffic(
        "Cross-network",
        ["google", "cpc", "PMax | All products"],
        Tag::ClickOnly,
        ["gclid", "https://www.google.com/"],
        [30, 10],
    ),
    traffic(
        "Paid Search",
        ["google", "cpc", "Search | iOS"],
        Tag::ClickOnly,
        ["gbraid", ""],
        [9, 5],
    ),
    traffic(
        "Paid Search",
        ["bing", "cpc", "bing_brand"],
        Tag::UtmAndClick,
        ["msclkid", "https://www.bing.com/"],
        [14, 6],
    ),
    traffic(
        "Paid Shopping",
        ["google", "cpc", "shopping_core"],
        Tag::UtmAndClick,
        ["gclid", "https://www.google.com/"],
        [30, 10],
    ),
    traffic("Email", ["newsletter", "email", "weekly_news"], Tag::Utm, ["", ""], [18, 90]),
    traffic("Email", ["newsletter", "email", "spring_sale"], Tag::Utm, ["", ""], [14, 40]),
    traffic(
        "Email",
        ["crm", "email", "abandoned_cart"],
        Tag::Utm,
        ["", "https://mail.google.com/"],
        [0, 34],
    ),
    traffic(
        "Paid Social",
        ["facebook", "paid_social", "prospecting_video"],
        Tag::UtmAndClick,
        ["fbclid", "https://l.facebook.com/"],
        [42, 8],
    ),
    traffic(
        "Paid Social",
        ["instagram", "paid_social", "retargeting_carousel"],
        Tag::UtmAndClick,
        ["fbclid", "https://l.instagram.com/"],
        [24, 34],
    ),
    traffic(
        "Paid Social",
        ["tiktok", "paid_social", "creator_spark"],
        Tag::UtmAndClick,
        ["ttclid", "https://www.tiktok.com/"],
        [24, 4],
    ),
    traffic(
        "Organic Social",
        ["l.facebook.com", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://l.facebook.com/"],
        [20, 8],
    ),
    traffic(
        "Organic Social",
        ["t.co", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://t.co/"],
        [12, 4],
    ),
    traffic(
        "Organic Social",
        ["pinterest", "social", "boards"],
        Tag::Utm,
        ["", "https://www.pinterest.com/"],
        [16, 6],
    ),
    traffic(
        "Referral",
        ["runnersblog.example", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://www.runnersblog.example/best-shoes"],
        [32, 8],
    ),
    traffic(
        "Referral",
        ["couponfox.example", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://couponfox.example/shop"],
        [18, 16],
    ),
    traffic(
        "Affiliates",
        ["awin", "affiliate", "partner_4711"],
        Tag::Utm,
        ["", "https://www.awin1.com/"],
        [20, 8],
    ),
    traffic("Display", ["google", "display", "remarketing_banner"], Tag::Utm, ["", ""], [14, 22]),
    traffic(
        "AI Assistant",
        ["chatgpt.com", "", ""],
        Tag::SourceOnly,
        ["", "https://chatgpt.com/"],
        [20, 6],
    ),
    traffic(
        "AI Assistant",
        ["perplexity.ai", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://www.perplexity.ai/"],
        [9, 3],
    ),
    traffic(
        "AI Assistant",
        ["gemini.google.com", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://gemini.google.com/"],
        [6, 2],
    ),
    traffic("Unassigned", ["qr", "print", "flyer_may"], Tag::Utm, ["", ""], [8, 2]),
    traffic(
        "Referral",
        ["paypal.com", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://www.paypal.com/"],
        [0, 0],
    ),
    traffic(
        "Referral",
        ["checkout.stripe.com", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://checkout.stripe.com/"],
        [0, 0],
    ),
    traffic(
        "Referral",
        ["pay.klarna.com", "referral", "(referral)"],
        Tag::Referrer,
        ["", "https://pay.klarna.com/"],
        [0, 0],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_point_where_they_say() {
        assert_eq!(TRAFFIC[usize::from(DIRECT)].tag, Tag::None);
        let hosts: Vec<_> = PAYMENT.map(|index| TRAFFIC[usize::from(index)].source).collect();
        assert_eq!(hosts, ["paypal.com", "checkout.stripe.com", "pay.klarna.com"]);
    }
}

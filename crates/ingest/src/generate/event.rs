//! What a visit consists of: pages, events, an order.

use super::catalog::PRODUCTS;
use super::random::Random;
use super::user::{Person, Planned};

/// Host of the invented shop.
pub(super) const HOST: &str = "www.trailshop.example";

/// Name of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    SessionStart,
    FirstVisit,
    PageView,
    UserEngagement,
    Scroll,
    ViewItem,
    AddToCart,
    BeginCheckout,
    Purchase,
    SignUp,
    GenerateLead,
    Refund,
}

impl Name {
    /// As in the export.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::SessionStart => "session_start",
            Self::FirstVisit => "first_visit",
            Self::PageView => "page_view",
            Self::UserEngagement => "user_engagement",
            Self::Scroll => "scroll",
            Self::ViewItem => "view_item",
            Self::AddToCart => "add_to_cart",
            Self::BeginCheckout => "begin_checkout",
            Self::Purchase => "purchase",
            Self::SignUp => "sign_up",
            Self::GenerateLead => "generate_lead",
            Self::Refund => "refund",
        }
    }
}

/// One page load.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) url: String,
    pub(super) title: &'static str,
    /// Empty when there is none.
    pub(super) referrer: String,
    /// `batch_page_id`: milliseconds of the load, as gtag has it.
    pub(super) id: i64,
    /// Index into [`TRAFFIC`] when the load shows a source.
    pub(super) traffic: Option<u8>,
    /// The click id in the URL.
    pub(super) click_id: String,
    pub(super) ignores_referrer: bool,
}

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Microseconds UTC; equal for all events of one request.
    pub(super) at: i64,
    pub(super) name: Name,
    /// Index into the visit's pages.
    pub(super) page: u8,
    /// Number of the request on the page, from 1.
    pub(super) ordering: u16,
    /// Number of the event in the request, from 1.
    pub(super) index: u16,
    /// Milliseconds since the last engagement report; 0 = not reported.
    pub(super) engagement: i64,
    /// Index into [`PRODUCTS`] of `view_item` and `add_to_cart`.
    pub(super) product: u8,
    pub(super) is_entrance: bool,
    pub(super) is_logged_in: bool,
}

/// What the visit buys.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) transaction_id: Option<String>,
    /// Index into [`PRODUCTS`] and quantity.
    pub(super) lines: Vec<(u8, i64)>,
    pub(super) shipping_cents: i64,
    pub(super) has_coupon: bool,
    /// False: the tag forgets the `currency` parameter.
    pub(super) has_currency: bool,
}

/// One simulated visit.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) person: Person,
    pub(super) planned: Planned,
    pub(super) is_engaged: bool,
    pub(super) pages: Vec<Page>,
    /// In order of time.
    pub(super) events: Vec<Event>,
    pub(super) order: Order,
}

impl Order {
    /// What the visit of this stream would buy.
    pub(super) fn new(random: &mut Random, stream: u64) -> Self {
        let count = 1 + random.weighted([62, 24, 10, 4].into_iter());
        let lines = (0..count).map(|_| {
            let product = random.below(PRODUCTS.len() as u64) as u8;
            (product, 1 + random.weighted([85, 11, 4].into_iter()) as i64)
        });
        let lines: Vec<_> = lines.collect();
        let value: i64 =
            lines.iter().map(|(product, n)| PRODUCTS[usize::from(*product)].cents * n).sum();
        let transaction_id = match random.below(1000) {
            0..12 => None,
            12..20 => Some("(not set)".to_owned()),
            _ => Some(format!("T{}", 100_000_000 + stream)),
        };
        Self {
            transaction_id,
            lines,
            shipping_cents: if value > 10_000 { 0 } else { 495 },
            has_coupon: random.chance(120),
            has_currency: !random.chance(20),
        }
    }
}

//! One visit: pages and events that follow from its plan.

use super::World;
use super::calendar::SECOND;
use super::catalog::PRODUCTS;
use super::event::{Event, HOST, Name, Order, Page, Visit};
use super::random::Random;
use super::traffic::{DIRECT, PAYMENT, TRAFFIC, Tag};
use super::user::{Outcome, Person, Planned, Stream, VISIT_MAX};

/// Simulates a planned visit; its last event is at most [`VISIT_MAX`] after its start.
pub(super) fn simulate(world: &World, person: &Person, planned: &Planned) -> Visit {
    let stream = person.index * 32 + u64::from(planned.number);
    let mut random = Random::new(world.seed, [Stream::Visit as u64, stream]);
    let order = Order::new(&mut random, stream);
    let mut walk = Walk {
        clock: planned.start,
        engagement: 0,
        is_logged_in: planned.number > 1 && random.chance(600),
        random,
        visit: Visit {
            person: person.clone(),
            planned: planned.clone(),
            is_engaged: planned.outcome != Outcome::Bounce,
            pages: Vec::with_capacity(8),
            events: Vec::with_capacity(24),
            order,
        },
    };
    walk.arrive();
    walk.stay();
    let end = planned.start + VISIT_MAX;
    walk.visit.events.retain(|event| event.at < end);
    walk.visit
}

/// The refund of a planned purchase: one event, sent by the shop's server without a session.
pub(super) fn refund(world: &World, person: &Person, planned: &Planned) -> Option<Visit> {
    let at = planned.refund_at?;
    let mut visit = simulate(world, person, planned);
    let bought = visit.events.iter().any(|event| event.name == Name::Purchase);
    if !bought || visit.order.transaction_id.is_none() {
        return None;
    }
    visit.pages.clear();
    visit.events.clear();
    visit.events.push(Event {
        at,
        name: Name::Refund,
        page: 0,
        ordering: 0,
        index: 0,
        engagement: 0,
        product: 0,
        is_entrance: false,
        is_logged_in: false,
    });
    Some(visit)
}

/// The visitor in motion.
struct Walk {
    clock: i64,
    /// Milliseconds of attention not reported yet.
    engagement: i64,
    is_logged_in: bool,
    random: Random,
    visit: Visit,
}

impl Walk {
    /// The first page with its synthesized events.
    fn arrive(&mut self) {
        let index = self.visit.planned.traffic;
        let traffic = &TRAFFIC[usize::from(index)];
        let path = match self.random.below(10) {
            0..4 => "/".to_owned(),
            4..7 => format!("/c/{}", PRODUCTS[self.product()].category.to_ascii_lowercase()),
            _ => format!("/p/{}", PRODUCTS[self.product()].slug),
        };
        let (query, click_id) = self.landing_query(index);
        self.load(&format!("{path}{query}"), traffic.referrer);
        if let Some(page) = self.visit.pages.last_mut() {
            page.traffic = (index != DIRECT).then_some(index);
            page.click_id = click_id;
        }
        let is_lost = self.random.chance(15);
        if !is_lost {
            self.hit(Name::SessionStart);
        }
        if self.visit.planned.number == 1 {
            self.push(Name::FirstVisit, is_lost);
        }
        self.push(Name::PageView, is_lost && self.visit.planned.number > 1);
        if let Some(event) = self.visit.events.last_mut() {
            event.is_entrance = true;
        }
    }

    /// What happens until the visitor leaves.
    fn stay(&mut self) {
        let outcome = self.visit.planned.outcome;
        if outcome == Outcome::Bounce {
            if self.random.chance(350) {
                self.read(8);
                self.hit(Name::UserEngagement);
            }
            return;
        }
        let pages = 1 + self.random.below(5);
        for _ in 0..pages {
            self.browse();
        }
        match outcome {
            Outcome::Lead => {
                self.open("/contact", "Contact");
                self.read(40);
                self.hit(Name::GenerateLead);
            }
            Outcome::SignUp => self.sign_up(),
            Outcome::Cart => self.fill_cart(),
            Outcome::Checkout => {
                self.fill_cart();
                self.check_out();
            }
            Outcome::Purchase => {
                self.fill_cart();
                self.check_out();
                self.pay();
            }
            Outcome::Bounce | Outcome::Browse => {}
        }
        self.read(20);
        self.hit(Name::UserEngagement);
    }

    fn browse(&mut self) {
        self.read(25);
        if self.random.chance(400) {
            self.hit(Name::Scroll);
            self.read(10);
        }
        if self.random.chance(500) {
            self.hit(Name::UserEngagement);
        }
        if self.random.chance(8) {
            // A second way in, within the same session: the newsletter of the day is clicked.
            let (query, click_id) = self.landing_query(12);
            self.load(&format!("/c/shoes{query}"), "");
            if let Some(page) = self.visit.pages.last_mut() {
                page.traffic = Some(12);
                page.click_id = click_id;
            }
            self.hit(Name::PageView);
        } else if self.random.chance(550) {
            self.view_product();
        } else {
            let category = PRODUCTS[self.product()].category;
            self.open(&format!("/c/{}", category.to_ascii_lowercase()), category);
        }
    }

    fn view_product(&mut self) {
        let product = self.product();
        self.open(&format!("/p/{}", PRODUCTS[product].slug), PRODUCTS[product].name);
        self.push(Name::ViewItem, false);
        self.set_product(product);
    }

    fn fill_cart(&mut self) {
        for line in 0..self.visit.order.lines.len() {
            let product = usize::from(self.visit.order.lines[line].0);
            self.open(&format!("/p/{}", PRODUCTS[product].slug), PRODUCTS[product].name);
            self.push(Name::ViewItem, false);
            self.set_product(product);
            self.read(30);
            self.hit(Name::AddToCart);
            self.set_product(product);
        }
    }

    fn check_out(&mut self) {
        self.open("/cart", "Cart");
        self.read(20);
        self.open("/checkout", "Checkout");
        self.push(Name::BeginCheckout, false);
        self.is_logged_in = true;
        self.read(60);
    }

    fn pay(&mut self) {
        let provider = self.random.chance(450).then(|| {
            let providers = u64::from(PAYMENT.end - PAYMENT.start);
            PAYMENT.start + self.random.below(providers) as u8
        });
        let thanks = format!("/checkout/thanks?order={}", self.visit.planned.number);
        match provider {
            Some(provider) => {
                self.clock += self.random.between(20 * SECOND, 150 * SECOND);
                self.load(&thanks, TRAFFIC[usize::from(provider)].referrer);
                let ignores = self.random.chance(400);
                if let Some(page) = self.visit.pages.last_mut() {
                    page.ignores_referrer = ignores;
                    page.traffic = (!ignores).then_some(provider);
                }
                self.hit(Name::PageView);
            }
            None => self.open(&thanks, "Thank you"),
        }
        self.push(Name::Purchase, false);
        if self.random.chance(35) {
            self.read(200);
            let referrer = self.visit.pages.last().map(|page| page.referrer.clone());
            self.load(&thanks, &referrer.unwrap_or_default());
            self.hit(Name::PageView);
            self.push(Name::Purchase, false);
        }
    }

    fn sign_up(&mut self) {
        self.open("/account/new", "Create account");
        self.read(45);
        self.is_logged_in = true;
        self.hit(Name::SignUp);
    }

    /// Opens a page from the one before.
    fn open(&mut self, path: &str, title: &'static str) {
        let referrer = self.visit.pages.last().map(|page| page.url.clone());
        self.load(path, &referrer.unwrap_or_default());
        if let Some(page) = self.visit.pages.last_mut() {
            page.title = title;
        }
        self.hit(Name::PageView);
    }

    /// Loads a page without any event.
    fn load(&mut self, path: &str, referrer: &str) {
        self.clock += self.random.between(SECOND / 5, 2 * SECOND);
        if self.visit.pages.is_empty() {
            self.clock = self.visit.planned.start;
        }
        self.visit.pages.push(Page {
            url: format!("https://{HOST}{path}"),
            title: "Trailshop",
            referrer: referrer.to_owned(),
            id: self.clock / 1000,
            traffic: None,
            click_id: String::new(),
            ignores_referrer: false,
        });
    }

    /// About `seconds` of attention.
    fn read(&mut self, seconds: i64) {
        let micros = self.random.between(seconds * SECOND / 4, seconds * SECOND * 7 / 4);
        self.clock += micros;
        self.engagement += micros / 1000;
    }

    /// An event in a request of its own.
    fn hit(&mut self, name: Name) {
        self.push(name, true);
    }

    /// An event; it opens a request, or joins the one before.
    fn push(&mut self, name: Name, opens_request: bool) {
        let page = (self.visit.pages.len() - 1) as u8;
        let before = self.visit.events.last().filter(|event| event.page == page);
        let (ordering, index) = match (before, opens_request) {
            (None, _) => (1, 1),
            (Some(before), true) => (before.ordering + 1, 1),
            (Some(before), false) => (before.ordering, before.index + 1),
        };
        let joined = before.filter(|_| !opens_request).map(|before| before.at);
        self.visit.events.push(Event {
            at: joined.unwrap_or(self.clock),
            name,
            page,
            ordering,
            index,
            engagement: std::mem::take(&mut self.engagement),
            product: 0,
            is_entrance: false,
            is_logged_in: self.is_logged_in,
        });
    }

    fn set_product(&mut self, product: usize) {
        if let Some(event) = self.visit.events.last_mut() {
            event.product = product as u8;
        }
    }

    fn product(&mut self) -> usize {
        self.random.below(PRODUCTS.len() as u64) as usize
    }

    /// The query of a landing URL, and the click id in it.
    fn landing_query(&mut self, index: u8) -> (String, String) {
        let traffic = &TRAFFIC[usize::from(index)];
        let click_id = if traffic.click.is_empty() {
            String::new()
        } else {
            let prefix = if traffic.click == "gclid" { "Cj0KCQiA" } else { "IwZXh0" };
            format!("{prefix}{:016x}{:08x}", self.random.bits(), self.random.bits() >> 32)
        };
        let utm = || {
            format!(
                "utm_source={}&utm_medium={}&utm_campaign={}",
                traffic.source, traffic.medium, traffic.campaign
            )
        };
        let query = match traffic.tag {
            Tag::None | Tag::Referrer => String::new(),
            Tag::Utm => format!("?{}", utm()),
            Tag::SourceOnly => format!("?utm_source={}", traffic.source),
            Tag::UtmAndClick => format!("?{}&{}={click_id}", utm(), traffic.click),
            Tag::ClickOnly if traffic.click == "srsltid" => format!("?srsltid={click_id}"),
            Tag::ClickOnly => {
                format!("?gad_source=1&gad_campaignid=2210{index:02}&{}={click_id}", traffic.click)
            }
        };
        (query, click_id)
    }
}

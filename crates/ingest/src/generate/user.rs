//! One visitor: who, and when they come. All of it follows from (seed, index, arrival day), so that
//! any day can be generated without the days before it.

use super::World;
use super::calendar::{DAY, SECOND};
use super::catalog::{DEVICES, PLACES};
use super::random::Random;
use super::traffic::{DIRECT, TRAFFIC};

/// Days after the first visit in which a visitor may come back.
const LIFE_DAYS: i64 = 34;
/// Days after a purchase in which it may be refunded.
const REFUND_DAYS: i64 = 10;
/// Days after the first visit in which a visitor may have events, clock changes and midnight
/// included.
pub(super) const HORIZON_DAYS: u32 = (LIFE_DAYS + REFUND_DAYS) as u32 + 2;
/// Longest visit: simulation stops there, so that a day needs to look back no further.
pub(super) const VISIT_MAX: i64 = 2 * 3600 * SECOND;
/// Visits of one person are at least this far apart.
const VISIT_GAP: i64 = VISIT_MAX + 3600 * SECOND;
/// Most visits of one person.
const VISITS_MAX: usize = 20;
/// Visits of a person, from one on: many come once, few come often.
const VISITS: [u32; VISITS_MAX] =
    [600, 165, 82, 48, 30, 20, 14, 10, 7, 5, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1];

/// Streams of chance, apart from each other.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Plan = 1,
    Person = 2,
    Visit = 3,
    File = 4,
}

/// How a visit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Bounce,
    Browse,
    Lead,
    SignUp,
    Cart,
    Checkout,
    Purchase,
}

/// One visit as planned; its events follow from it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    /// From 1.
    pub(super) number: u8,
    /// First event, microseconds UTC.
    pub(super) start: i64,
    /// Index into [`TRAFFIC`].
    pub(super) traffic: u8,
    /// Last traffic up to this visit that is not Direct, if any: else Direct.
    pub(super) last_click: u8,
    pub(super) outcome: Outcome,
    /// When the purchase is refunded.
    pub(super) refund_at: Option<i64>,
}

/// Plans all visits of visitor `index`, who arrives on day `arrival`; `visits` is cleared first.
///
/// Does nothing more when it is clear that no visit reaches the time from `needed` on.
pub(super) fn plan(
    world: &World,
    index: u64,
    arrival: i32,
    needed: i64,
    visits: &mut Vec<Planned>,
) {
    visits.clear();
    let mut random = Random::new(world.seed, [Stream::Plan as u64, index]);
    let count = 1 + random.weighted(VISITS.into_iter());
    let first = world.calendar.moment(arrival, &mut random);
    let last_possible = match count {
        // One visit; room for its length, or for a refund.
        1 => first + VISIT_MAX + REFUND_DAYS * DAY,
        _ => i64::MAX,
    };
    if last_possible < needed {
        return;
    }
    let mut starts = [i64::MAX; VISITS_MAX];
    starts[0] = first;
    for start in &mut starts[1..count] {
        // The square of a uniform draw: most come back soon.
        let draw = random.between(0, 1000);
        let later = (draw * draw * LIFE_DAYS / 1_000_000) as i32;
        *start = world.calendar.moment(arrival + later, &mut random);
    }
    starts[1..count].sort_unstable();
    let (mut previous, mut last_click) = (first - VISIT_GAP, DIRECT);
    for (number, start) in (1..).zip(starts[..count].iter().copied()) {
        let start = start.max(previous + VISIT_GAP);
        if number > 1 && start > first + LIFE_DAYS * DAY {
            break;
        }
        previous = start;
        let traffic = random.weighted(
            TRAFFIC.iter().map(|traffic| if number == 1 { traffic.first } else { traffic.again }),
        ) as u8;
        if traffic != DIRECT {
            last_click = traffic;
        }
        let outcome = outcome(&mut random, number, traffic);
        let is_refunded = random.chance(60) && outcome == Outcome::Purchase;
        let delay = random.between(DAY / 2, REFUND_DAYS * DAY);
        let refund_at = is_refunded.then_some(start + VISIT_MAX + delay);
        visits.push(Planned { number, start, traffic, last_click, outcome, refund_at });
    }
}

fn outcome(random: &mut Random, number: u8, traffic: u8) -> Outcome {
    use Outcome::{Bounce, Browse, Cart, Checkout, Lead, Purchase, SignUp};
    let is_ready = number > 1 || matches!(TRAFFIC[usize::from(traffic)].group, "Paid Shopping");
    // Of a thousand visits; later ones are closer to buying.
    let weights = if is_ready {
        [(Bounce, 300), (Browse, 549), (Lead, 10), (SignUp, 14), (Cart, 66), (Checkout, 28)]
    } else {
        [(Bounce, 430), (Browse, 503), (Lead, 8), (SignUp, 8), (Cart, 32), (Checkout, 9)]
    };
    let mut left = random.below(1000);
    for (outcome, weight) in weights {
        if left < weight {
            return outcome;
        }
        left -= weight;
    }
    Purchase
}

/// Who a visitor is.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) index: u64,
    /// False: no analytics consent, hence no `user_pseudo_id` and no session id.
    pub(super) has_consent: bool,
    /// False: no consent for advertising.
    pub(super) has_ads_consent: bool,
    pub(super) pseudo_id: String,
    /// Customer number, known to the shop after login.
    pub(super) customer: Option<String>,
    /// Indexes into [`DEVICES`] and [`PLACES`].
    pub(super) device: u8,
    pub(super) place: u8,
    /// Old tags of this visitor write `ga_session_id` as text, or `session_engaged` as number.
    pub(super) writes_session_id_as_text: bool,
    pub(super) writes_engaged_as_number: bool,
    /// First event ever, microseconds UTC.
    pub(super) first_touch_at: i64,
    /// Index into [`TRAFFIC`] of the first visit.
    pub(super) first_traffic: u8,
}

impl Person {
    /// The person with these planned visits.
    pub(super) fn new(world: &World, index: u64, first: &Planned) -> Self {
        let mut random = Random::new(world.seed, [Stream::Person as u64, index]);
        let has_consent = !random.chance(70);
        let number = random.between(100_000_000, 2_147_483_647);
        let customer = 1_000_000 + index * 7 + random.below(7);
        Self {
            index,
            has_consent,
            has_ads_consent: has_consent && random.chance(850),
            pseudo_id: format!("{number}.{}", first.start / SECOND),
            customer: random.chance(180).then(|| format!("C{customer}")),
            device: random.weighted(DEVICES.iter().map(|device| device.weight)) as u8,
            place: random.weighted(PLACES.iter().map(|place| place.weight)) as u8,
            writes_session_id_as_text: random.chance(10),
            writes_engaged_as_number: random.chance(180),
            first_touch_at: first.start,
            first_traffic: first.traffic,
        }
    }
}

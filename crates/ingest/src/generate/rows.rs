//! One event of a visit to one row of the export.

use super::calendar::SECOND;
use super::catalog::{Currency, DEVICES, PLACES, PRODUCTS, Product};
use super::event::{Event, HOST, Name, Order, Page, Visit};
use super::table::{Item, Param, Property, Row, Table};
use super::traffic::{DIRECT, TRAFFIC, Tag};

/// Data stream of the invented shop.
const STREAM_ID: &str = "3141592653";

/// What all rows of a file share.
pub(super) struct File {
    /// `YYYYMMDD`.
    pub(super) event_date: String,
    /// True: leave out what the intraday export does not have.
    pub(super) is_intraday: bool,
}

/// Adds the row of one event.
pub(super) fn add(table: &mut Table, file: &File, visit: &Visit, event: &Event) {
    let page = visit.pages.get(usize::from(event.page));
    event_columns(table, file, event, page);
    person_columns(table, file, visit, event);
    if !file.is_intraday {
        attribution_columns(table, visit, event);
    }
    if let Some(page) = page {
        collected(table, event, page);
        page_params(table, visit, event, page);
    }
    commerce(table, visit, event);
    table.end_row();
}

fn event_columns(table: &mut Table, file: &File, event: &Event, page: Option<&Page>) {
    let row = &mut table.row;
    row.text(Row::EventDate, &file.event_date);
    row.int(Row::EventTimestamp, event.at);
    row.text(Row::EventName, event.name.text());
    row.int(Row::EventBundleSequenceId, event.at / 1000 % 2_147_483_647);
    row.text(Row::StreamId, STREAM_ID);
    row.text(Row::Platform, "WEB");
    if let Some(page) = page {
        row.int(Row::BatchEventIndex, event.index.into());
        row.int(Row::BatchPageId, page.id);
        row.int(Row::BatchOrderingId, event.ordering.into());
    }
}

fn person_columns(table: &mut Table, file: &File, visit: &Visit, event: &Event) {
    let person = &visit.person;
    let yes_no = |yes: bool| if yes { "Yes" } else { "No" };
    let row = &mut table.row;
    row.text(Row::AnalyticsStorage, yes_no(person.has_consent));
    row.text(Row::AdsStorage, yes_no(person.has_ads_consent));
    row.text(Row::UsesTransientToken, "No");
    if person.has_consent {
        row.text(Row::UserPseudoId, &person.pseudo_id);
        row.int(Row::UserFirstTouchTimestamp, person.first_touch_at);
        if !file.is_intraday {
            row.float(Row::LtvRevenue, 0.0);
            row.text(Row::LtvCurrency, "USD");
        }
    }
    if !file.is_intraday {
        row.bool(Row::IsActiveUser, visit.is_engaged && person.has_consent);
    }
    let device = &DEVICES[usize::from(person.device)];
    let place = &PLACES[usize::from(person.place)];
    row.text(Row::DeviceCategory, device.category);
    row.text_unless_empty(Row::DeviceBrand, device.brand);
    row.text_unless_empty(Row::DeviceModel, device.model);
    row.text(Row::DeviceSystem, device.system);
    row.text(Row::DeviceSystemVersion, device.system_version);
    row.text(Row::DeviceLanguage, place.language);
    row.text(Row::DeviceLimitedTracking, "No");
    row.text(Row::WebBrowser, device.browser);
    row.text(Row::WebBrowserVersion, device.browser_version);
    row.text(Row::WebHostname, HOST);
    row.text(Row::City, place.city);
    row.text(Row::Country, place.country);
    row.text(Row::Continent, place.continent);
    row.text(Row::Region, place.region);
    row.text(Row::SubContinent, place.sub_continent);
    if let (Some(customer), true, true) = (&person.customer, event.is_logged_in, person.has_consent)
    {
        row.text(Row::UserId, customer);
        let properties = &mut table.properties.elements;
        properties.text(Property::Key, "customer_tier");
        properties
            .text(Property::Text, if person.index.is_multiple_of(4) { "gold" } else { "basic" });
        properties.int(Property::SetAt, visit.planned.start);
        properties.end_row();
    }
}

/// Columns that the export attributes itself; the intraday export lacks them.
fn attribution_columns(table: &mut Table, visit: &Visit, event: &Event) {
    let row = &mut table.row;
    let first = &TRAFFIC[usize::from(visit.person.first_traffic)];
    if visit.person.has_consent {
        row.text(Row::FirstName, first.campaign);
        row.text(Row::FirstMedium, first.medium);
        row.text(Row::FirstSource, first.source);
    }
    if event.name == Name::Refund || !visit.person.has_consent {
        return;
    }
    let last = &TRAFFIC[usize::from(visit.planned.last_click)];
    let not_set = |text: &'static str| if text.is_empty() { "(not set)" } else { text };
    if matches!(last.tag, Tag::Utm | Tag::UtmAndClick | Tag::SourceOnly) {
        row.text(Row::ManualCampaign, not_set(last.campaign));
        row.text(Row::ManualSource, last.source);
        row.text(Row::ManualMedium, not_set(last.medium));
    }
    if matches!(last.click, "gclid" | "gbraid") {
        row.text(Row::AdsCustomer, "123-456-7890");
        row.text(Row::AdsAccount, "Trailshop");
        row.text(Row::AdsCampaignId, &format!("2210{:02}", visit.planned.last_click));
        row.text(Row::AdsCampaign, last.campaign);
        row.text(Row::AdsGroup, "All");
    }
    row.text(Row::CrossCampaign, not_set(last.campaign));
    row.text(Row::CrossSource, last.source);
    row.text(Row::CrossMedium, not_set(last.medium));
    row.text(Row::CrossGroup, last.group);
    row.text(Row::CrossPrimary, last.group);
}

/// `collected_traffic_source`: what the page itself carried, on all events of its first request.
fn collected(table: &mut Table, event: &Event, page: &Page) {
    let Some(index) = page.traffic.filter(|_| event.ordering == 1) else { return };
    let traffic = &TRAFFIC[usize::from(index)];
    let row = &mut table.row;
    // Auto-tagging hides the campaign: the row has the click id only.
    if traffic.tag != Tag::ClickOnly {
        row.text_unless_empty(Row::CollectedCampaign, traffic.campaign);
        row.text(Row::CollectedSource, traffic.source);
        row.text_unless_empty(Row::CollectedMedium, traffic.medium);
    }
    match traffic.click {
        "gclid" => row.text(Row::CollectedGclid, &page.click_id),
        "srsltid" => row.text(Row::CollectedSrsltid, &page.click_id),
        _ => {}
    }
}

/// Parameters of every event on a page.
fn page_params(table: &mut Table, visit: &Visit, event: &Event, page: &Page) {
    let person = &visit.person;
    let session_id = visit.planned.start / SECOND;
    if person.has_consent {
        if person.writes_session_id_as_text {
            text(table, "ga_session_id", &session_id.to_string());
        } else {
            int(table, "ga_session_id", session_id);
        }
        int(table, "ga_session_number", visit.planned.number.into());
        let engaged = i64::from(visit.is_engaged);
        if person.writes_engaged_as_number {
            int(table, "session_engaged", engaged);
        } else {
            text(table, "session_engaged", if visit.is_engaged { "1" } else { "0" });
        }
        if visit.is_engaged {
            int(table, "engaged_session_event", 1);
        }
    }
    text(table, "page_location", &page.url);
    text(table, "page_title", page.title);
    if !page.referrer.is_empty() {
        text(table, "page_referrer", &page.referrer);
    }
    if page.ignores_referrer {
        text(table, "ignore_referrer", "true");
    }
    int(table, "batch_page_id", page.id);
    int(table, "batch_ordering_id", event.ordering.into());
    if event.engagement > 0 {
        int(table, "engagement_time_msec", event.engagement);
    }
    match event.name {
        Name::PageView => source_params(table, event, page),
        Name::Scroll => int(table, "percent_scrolled", 90),
        Name::SignUp => text(table, "method", "email"),
        Name::GenerateLead => text(table, "form_id", "contact"),
        _ => {}
    }
}

/// Parameters of a page view that shows where the visitor came from.
fn source_params(table: &mut Table, event: &Event, page: &Page) {
    if event.is_entrance {
        int(table, "entrances", 1);
    }
    let Some(index) = page.traffic.filter(|index| *index != DIRECT) else { return };
    let traffic = &TRAFFIC[usize::from(index)];
    if traffic.tag == Tag::ClickOnly {
        // The export's known fault: an ad click that shows as organic, for some of the clicks.
        if page.id % 3 == 0 {
            text(table, "source", "google");
            text(table, "medium", "organic");
            text(table, "campaign", "(organic)");
        }
    } else {
        text(table, "source", traffic.source);
        if !traffic.medium.is_empty() {
            text(table, "medium", traffic.medium);
            text(table, "campaign", traffic.campaign);
        }
    }
    match traffic.click {
        "gclid" => {
            text(table, "gclid", &page.click_id);
            int(table, "gad_source", 1);
        }
        "srsltid" => text(table, "srsltid", &page.click_id),
        _ => {}
    }
}

/// Items, money and the parameters that belong to them.
fn commerce(table: &mut Table, visit: &Visit, event: &Event) {
    let place = &PLACES[usize::from(visit.person.place)];
    let currency = place.currency;
    match event.name {
        Name::ViewItem | Name::AddToCart => {
            let product = &PRODUCTS[usize::from(event.product)];
            let price = currency.local(product.cents);
            money_params(table, price, Some(currency));
            item(table, product, currency, 1, event.name);
        }
        Name::BeginCheckout => {
            money_params(table, value(&visit.order, currency), Some(currency));
            items(table, &visit.order, currency, event.name);
        }
        Name::Purchase => purchase(table, &visit.order, currency),
        Name::Refund => refund(table, &visit.order, currency),
        Name::GenerateLead => money_params(table, 25.0, Some(currency)),
        _ => {}
    }
}

fn purchase(table: &mut Table, order: &Order, currency: &'static Currency) {
    let value = value(order, currency);
    let (shipping, tax) = (currency.local(order.shipping_cents), rounded(value * 0.19 / 1.19));
    let known = order.has_currency.then_some(currency);
    let row = &mut table.row;
    row.int(Row::ItemQuantity, order.lines.iter().map(|(_, quantity)| quantity).sum());
    row.int(Row::UniqueItems, order.lines.len() as i64);
    row.float(Row::Revenue, value);
    row.float(Row::Shipping, shipping);
    row.float(Row::Tax, tax);
    if known.is_some() {
        row.float(Row::RevenueInUsd, currency.usd(value));
        row.float(Row::ShippingInUsd, currency.usd(shipping));
        row.float(Row::TaxInUsd, currency.usd(tax));
    }
    money_params(table, value, known);
    number(table, "shipping", shipping);
    number(table, "tax", tax);
    if order.has_coupon {
        text(table, "coupon", "WELCOME10");
    }
    transaction(table, order);
    items(table, order, currency, Name::Purchase);
}

fn refund(table: &mut Table, order: &Order, currency: &'static Currency) {
    let value = value(order, currency);
    table.row.float(Row::Refund, value);
    table.row.float(Row::RefundInUsd, currency.usd(value));
    money_params(table, value, Some(currency));
    transaction(table, order);
    items(table, order, currency, Name::Refund);
}

fn transaction(table: &mut Table, order: &Order) {
    if let Some(id) = &order.transaction_id {
        table.row.text(Row::TransactionId, id);
        text(table, "transaction_id", id);
    }
}

fn money_params(table: &mut Table, value: f64, currency: Option<&Currency>) {
    number(table, "value", value);
    if let Some(currency) = currency {
        text(table, "currency", currency.code);
        table.row.float(Row::EventValueInUsd, currency.usd(value));
    }
}

fn items(table: &mut Table, order: &Order, currency: &Currency, name: Name) {
    for (product, quantity) in &order.lines {
        item(table, &PRODUCTS[usize::from(*product)], currency, *quantity, name);
    }
}

fn item(table: &mut Table, product: &Product, currency: &Currency, quantity: i64, name: Name) {
    let price = currency.local(product.cents);
    let total = rounded(price * quantity as f64);
    let item = &mut table.items.elements;
    item.text(Item::Id, product.id);
    item.text(Item::Name, product.name);
    item.text(Item::Brand, "Trailshop");
    item.text(Item::Variant, "(not set)");
    item.text(Item::Category, product.category);
    item.float(Item::PriceInUsd, currency.usd(price));
    item.float(Item::Price, price);
    item.int(Item::Quantity, quantity);
    match name {
        Name::Purchase => {
            item.float(Item::RevenueInUsd, currency.usd(total));
            item.float(Item::Revenue, total);
        }
        Name::Refund => {
            item.float(Item::RefundInUsd, currency.usd(total));
            item.float(Item::Refund, total);
        }
        _ => {}
    }
    item.text(Item::Coupon, "(not set)");
    item.text(Item::ListName, "(not set)");
    item.text(Item::ListIndex, "(not set)");
    item.end_row();
}

/// Value of an order without shipping, in the local currency.
fn value(order: &Order, currency: &Currency) -> f64 {
    let line = |(product, quantity): &(u8, i64)| {
        currency.local(PRODUCTS[usize::from(*product)].cents) * *quantity as f64
    };
    rounded(order.lines.iter().map(line).sum())
}

/// Rounded to two digits; sums of prices drift by less than that.
fn rounded(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

fn text(table: &mut Table, key: &str, value: &str) {
    let params = &mut table.params.elements;
    params.text(Param::Key, key);
    params.text(Param::Text, value);
    params.end_row();
}

fn int(table: &mut Table, key: &str, value: i64) {
    let params = &mut table.params.elements;
    params.text(Param::Key, key);
    params.int(Param::Int, value);
    params.end_row();
}

/// A number as gtag sends it: whole ones as INT64.
fn number(table: &mut Table, key: &str, value: f64) {
    if value.fract() == 0.0 {
        return int(table, key, value as i64);
    }
    let params = &mut table.params.elements;
    params.text(Param::Key, key);
    params.float(Param::Double, value);
    params.end_row();
}

//! "Must show" 2: the fold in plain Rust gives what the SQL gives.
//!
//! The fold reads the typed columns of `stg_events`; `staging` judges those.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone as _};
use chrono_tz::Tz;
use clicktrail_attribution::models::Rules;
use clicktrail_attribution::reference::{
    self, Attribution, Identity, IdentityRules, KeyEvent, OrderDedupeScope, PersonClick, Position,
    SourceFields, Text, TouchGrain,
};
use clicktrail_ingest::generate::{GenerateSettings, generate};
use serde_json::json;

use super::events::{Texts, events};
use super::fold_reports::{compare_refunds, compare_reports, compare_spend, spend};
use super::support::{Answers, NULL, Shop, good, same, sample_dir};

/// The vars that a comparison turns.
#[derive(Clone)]
pub(crate) struct Variant {
    pub(crate) touch_grain: TouchGrain,
    pub(crate) dedupe_scope: OrderDedupeScope,
    pub(crate) identity: IdentityRules,
    pub(crate) key_events: &'static [(&'static str, u32)],
    pub(crate) excluded_channels: &'static [&'static str],
    pub(crate) timezone: Tz,
}

impl Default for Variant {
    /// The vars of the demo project.
    fn default() -> Self {
        Self {
            touch_grain: TouchGrain::Click,
            dedupe_scope: OrderDedupeScope::Device,
            identity: IdentityRules::default(),
            key_events: &[("purchase", 90)],
            excluded_channels: &[],
            timezone: Tz::UTC,
        }
    }
}

impl Variant {
    pub(crate) fn apply(&self, shop: Shop) -> Shop {
        let grain = match self.touch_grain {
            TouchGrain::Click => "click",
            TouchGrain::Session => "session",
        };
        let scope = match self.dedupe_scope {
            OrderDedupeScope::Device => "device",
            OrderDedupeScope::Property => "property",
        };
        let rules = &self.identity;
        let (identity, retro_days) = match rules.identity {
            Identity::Device => ("device", 30),
            Identity::UserAsof => ("user_asof", 30),
            Identity::UserRetro { days } => ("user_retro", days),
        };
        let names: Vec<&str> = self.key_events.iter().map(|(name, _)| *name).collect();
        let windows: BTreeMap<&str, u32> = self.key_events.iter().copied().collect();
        shop.with("touch_grain", grain)
            .with("order_dedupe_scope", scope)
            .with("identity", identity)
            .with("identity_retro_days", retro_days)
            .with("identity_max_users_per_device", rules.max_users_per_device)
            .with("identity_max_devices_per_user", rules.max_devices_per_user)
            .with("key_events", names)
            .with("lookback_days_by_event", json!(windows))
            .with("excluded_channels", self.excluded_channels)
            .with("timezone", self.timezone.name())
    }
}

const ALL_EVENTS: &[(&str, u32)] =
    &[("purchase", 90), ("sign_up", 7), ("generate_lead", 30), ("first_visit", 30)];

#[test]
fn three_days_of_the_sample() {
    let Some(dir) = sample_dir() else { return };
    let days = ["20201223", "20201224", "20210131"];
    let variants = [
        Variant::default(),
        Variant {
            touch_grain: TouchGrain::Session,
            dedupe_scope: OrderDedupeScope::Property,
            key_events: &[("purchase", 90), ("first_visit", 30), ("begin_checkout", 1)],
            timezone: Tz::America__Los_Angeles,
            ..Variant::default()
        },
    ];
    for variant in variants {
        let shop = variant.apply(Shop::demo());
        for day in days {
            shop.take(&dir.join(format!("events_{day}.parquet")));
        }
        shop.build_tables();
        check(&shop, variant);
    }
}

#[test]
fn generated_clicks() {
    let shop = Variant::default().apply(Shop::demo());
    shop.write("seeds/ad_spend.csv", SPEND);
    generated_in(shop, 1, Variant { key_events: ALL_EVENTS, ..Variant::default() });
    generated(
        2,
        Variant {
            dedupe_scope: OrderDedupeScope::Property,
            timezone: Tz::Pacific__Auckland,
            excluded_channels: &["Email", "Direct"],
            ..Variant::default()
        },
    );
}

#[test]
fn generated_sessions() {
    let by_session = Variant { touch_grain: TouchGrain::Session, ..Variant::default() };
    generated(3, Variant { key_events: ALL_EVENTS, ..by_session.clone() });
    generated(
        4,
        Variant {
            dedupe_scope: OrderDedupeScope::Property,
            timezone: Tz::America__New_York,
            key_events: &[("purchase", 3)],
            ..by_session.clone()
        },
    );
    generated(
        8,
        Variant {
            excluded_channels: &["Email", "Direct"],
            key_events: &[("purchase", 9), ("first_visit", 30), ("session_start", 1)],
            ..by_session
        },
    );
}

/// [2.26] Users come and go on shared devices, placeholders among them, in each mode and grain.
#[test]
fn generated_users() {
    let rules =
        |identity| IdentityRules { identity, max_users_per_device: 2, max_devices_per_user: 6 };
    let key_events: &[(&str, u32)] = &[("purchase", 90), ("sign_up", 7), ("generate_lead", 30)];
    generated(5, Variant { identity: rules(Identity::UserAsof), key_events, ..Variant::default() });
    generated(
        6,
        Variant {
            identity: rules(Identity::UserRetro { days: 9 }),
            key_events,
            excluded_channels: &["Email"],
            ..Variant::default()
        },
    );
    generated(
        7,
        Variant {
            identity: rules(Identity::UserRetro { days: 3 }),
            touch_grain: TouchGrain::Session,
            timezone: Tz::America__New_York,
            ..Variant::default()
        },
    );
}

/// Generated visitors never sign in; these do, by their device's last digits and the time.
const USERS: &str = "case
        when event_timestamp % 7 > 2 then null
        when event_timestamp % 35 = 0 then ' Anonymous '
        when event_timestamp % 245 = 1 then 'till'
        when event_timestamp % 63 = 1 then 'guest ' || substr(user_pseudo_id, length(user_pseudo_id) - 1)
        else ' user ' || substr(user_pseudo_id, length(user_pseudo_id) - 2)
    end as user_id,";

fn sign_in(shop: &Shop) {
    let path = "models/staging/stg_events.sql";
    let sql = shop.read(path);
    let column = "\n    user_id,\n    stream_id,";
    assert_eq!(sql.matches(column).count(), 1);
    shop.write(path, sql.replace(column, &format!("\n    {USERS}\n    stream_id,")));
}

/// That the rules of identity had something to judge.
fn check_signed_in(shop: &Shop) {
    let joined = "select count(*) > 0 from int_journeys as journeys inner join int_touchpoints as touches \
        on journeys.touch_id = touches.touch_id where journeys.person_key <> touches.person_key";
    assert_eq!(shop.value(joined), "true");
    let bounds = "select distinct refused_by from int_identity where refused_by is not null";
    assert_eq!(shop.rows(bounds), ["devices_of_user", "users_of_device"]);
}

/// What some campaigns cost: twice on a day, in another case, in another currency, and for nothing.
const SPEND: &str = "date,source,medium,campaign,cost,currency,clicks,impressions
2026-04-10,google,cpc,brand_search,12.5,USD,10,100
2026-04-10,Google,CPC,Brand_Search,0.000001,usd,1,2
2026-04-11,google,cpc,brand_search,80,EUR,20,300
2026-04-12,newsletter,email,weekly_news,3.25,USD,,
2026-04-12,nobody,cpc,sold nothing,99.99,USD,7,70
2026-04-13,,cpc,,1,,1,1
2025-01-01,google,cpc,brand_search,5,USD,1,1
";

fn generated(seed: u64, variant: Variant) {
    generated_in(Shop::demo(), seed, variant);
}

fn generated_in(shop: Shop, seed: u64, variant: Variant) {
    let shop = variant.apply(shop);
    let signs_in = variant.identity.identity != Identity::Device;
    if signs_in {
        sign_in(&shop);
    }
    generate_into(&shop.path("data"), seed, variant.timezone);
    let mut known = HashMap::new();
    let mut shop = shop;
    if !variant.excluded_channels.is_empty() {
        // Tables say nothing of what was left out, so its channels come from a build with everything.
        shop = shop.with("excluded_channels", json!([]));
        shop.build_tables();
        known = channels(&shop);
        shop = shop.with("excluded_channels", json!(variant.excluded_channels));
    }
    shop.build_tables();
    if signs_in {
        check_signed_in(&shop);
    }
    // That the rule of refunds had something to judge; the seeds of those who sign in have no refund of a known order.
    assert!(signs_in || shop.value("select count(*) from fct_refunds") != "0");
    assert!(check_with(&shop, variant, known, true));
}

/// 20,000 events of 60 days.
pub(crate) fn generate_into(folder: &Path, seed: u64, timezone: Tz) {
    let first_day = NaiveDate::from_ymd_opt(2026, 2, 20).unwrap();
    let settings = GenerateSettings {
        seed,
        events: 20_000,
        timezone,
        threads: 2,
        ..GenerateSettings::starting(first_day)
    };
    generate(&settings, folder, &|_, _| {}).unwrap();
}

/// Compares every table that the fold knows.
#[track_caller]
pub(crate) fn check(shop: &dyn Answers, variant: Variant) {
    assert!(check_with(shop, variant, HashMap::new(), false));
}

/// The same, with channels of sources that no table shows; and, where a build made the tables, with reports and spend,
/// which follow no stream. Says whether there were journeys and credits to compare: a short history may have none.
#[track_caller]
#[must_use]
pub(crate) fn check_with(
    shop: &dyn Answers,
    variant: Variant,
    mut channels: Channels,
    is_built: bool,
) -> bool {
    let events = events(shop);
    channels.extend(self::channels(shop));
    let classify = |source: &str, medium: &str, campaign: &str| -> Text {
        let known = channels.get(&[source, medium, campaign].map(str::to_owned));
        known.map_or_else(
            || format!("unknown {source}/{medium}/{campaign}").into(),
            |c| c.as_str().into(),
        )
    };
    let timezone = variant.timezone;
    let local_date = move |at: i64| {
        days_of(DateTime::from_timestamp_micros(at).unwrap().with_timezone(&timezone).date_naive())
    };
    let first_day = events.iter().map(|event| event.event_date).min().unwrap();
    let midnight = date_of(first_day).and_time(NaiveTime::MIN);
    let first_loaded_at =
        timezone.from_local_datetime(&midnight).earliest().unwrap().timestamp_micros();
    let key_event =
        |(name, days): &(&str, u32)| KeyEvent { event_name: (*name).into(), lookback_days: *days };
    let settings = reference::Settings {
        property_id: "demo".into(),
        key_events: variant.key_events.iter().map(key_event).collect(),
        touch_grain: variant.touch_grain,
        order_dedupe_scope: variant.dedupe_scope,
        identity: variant.identity,
        rules: Rules::default(),
        excluded_channels: variant.excluded_channels.iter().map(|name| Text::from(*name)).collect(),
        first_loaded_at,
        local_date: &local_date,
        classify: &classify,
    };
    let answer = reference::fold(&events, &settings);
    compare_inputs(shop, &answer);
    compare_credits(shop, &answer);
    compare_refunds(shop, &answer);
    if is_built {
        let newest_at = events.iter().map(|event| event.event_timestamp).max().unwrap();
        compare_reports(shop, &reference::reports(&answer, newest_at, &settings));
        compare_spend(shop, &reference::spend_daily(&answer, &spend(shop), &settings));
    }
    !answer.journeys.is_empty() && !answer.credits.is_empty()
}

/// Channel of each displayed triple, as the models say: the fold holds no channel rules.
type Channels = HashMap<[String; 3], String>;

fn channels(shop: &dyn Answers) -> Channels {
    let sql = "select source, medium, campaign, channel from int_traffic_sources \
        union select source, medium, campaign, channel from int_journeys \
        union select source, medium, campaign, channel from fct_credits \
        where touch_id is null and channel <> '(no touch)'";
    let mut channels = HashMap::new();
    for batch in shop.batches(sql) {
        let columns: Vec<Texts> = batch.columns().iter().map(Texts::new).collect();
        for row in 0..batch.num_rows() {
            let text = |column: usize| columns[column].get(row).unwrap().to_owned();
            channels.insert([text(0), text(1), text(2)], text(3));
        }
    }
    channels
}

fn compare_inputs(shop: &dyn Answers, answer: &Attribution) {
    assert_eq!(shop.value("select count(*) from int_events"), answer.events.to_string());
    let copies =
        answer.copies.iter().map(|(key, copies)| format!("{key}|{copies}")).collect::<Vec<_>>();
    let sql = "select event_key, sum(copies) from int_events where copies > 1 group by event_key";
    same("copies", &shop.rows(sql), &sorted(copies));

    let sessions = answer.sessions.iter().map(|s| {
        line(&[
            s.session_key.to_string(),
            s.person_key.to_string(),
            s.user_pseudo_id.to_string(),
            or_null(s.stream_id.as_deref()),
            s.ga_session_id.to_string(),
            s.is_derived.to_string(),
            position(&s.started),
            s.session_ended_at.to_string(),
            s.session_date.to_string(),
            s.events.to_string(),
            s.page_views.to_string(),
            s.is_engaged.to_string(),
            or_null(s.landing_page.as_deref()),
            or_null(s.session_number),
            s.source.to_string(),
            s.medium.to_string(),
            s.campaign.to_string(),
            or_null(s.source_record),
        ])
    });
    let sql = "select session_key, person_key, user_pseudo_id, stream_id, ga_session_id, is_derived, \
        session_started_at, first_batch_page_id, first_batch_ordering_id, first_batch_event_index, \
        first_event_key, session_ended_at, cast(session_date as int), events, page_views, is_engaged, \
        landing_page, session_number, source, medium, campaign, source_record from int_sessions";
    same("int_sessions", &shop.rows(sql), &sorted(sessions));

    let touches = answer.touches.iter().map(|t| {
        line(&[
            t.touch_id.to_string(),
            t.person_key.to_string(),
            t.session_key.to_string(),
            position(&t.position),
            t.source.to_string(),
            t.medium.to_string(),
            t.campaign.to_string(),
            or_null(t.click_id.as_deref()),
            t.channel.to_string(),
            t.is_direct.to_string(),
            or_null(t.evidence_class),
            t.touch_number.to_string(),
        ])
    });
    let sql = "select touch_id, person_key, session_key, touched_at, batch_page_id, batch_ordering_id, \
        batch_event_index, event_key, source, medium, campaign, click_id, channel, is_direct, \
        evidence_class, touch_number from int_touchpoints";
    same("int_touchpoints", &shop.rows(sql), &sorted(touches));

    let conversions = answer.conversions.iter().map(|c| {
        let fields = c.evidence.as_ref().map(|evidence| &evidence.fields);
        let field =
            |of: fn(&SourceFields) -> &Option<Text>| or_null(fields.and_then(|f| of(f).as_deref()));
        line(&[
            c.conversion_id.to_string(),
            c.person_key.to_string(),
            or_null(c.user_pseudo_id.as_deref()),
            or_null(c.session_key.as_deref()),
            c.event_name.to_string(),
            position(&c.position),
            c.conversion_date.to_string(),
            or_null(c.transaction_id.as_deref()),
            or_null(c.revenue_micros.map(|m| money(m.into()))),
            or_null(c.currency.as_deref()),
            c.is_duplicate.to_string(),
            c.is_zero_value_without_id.to_string(),
            c.is_counted.to_string(),
            c.lookback_days.to_string(),
            c.lookback_complete.to_string(),
            or_null(c.evidence.as_ref().map(|evidence| evidence.class)),
            field(|f| &f.source),
            field(|f| &f.medium),
            field(|f| &f.campaign),
        ])
    });
    let sql = "select conversion_id, person_key, user_pseudo_id, session_key, event_name, converted_at, \
        batch_page_id, batch_ordering_id, batch_event_index, event_key, cast(conversion_date as int), \
        transaction_id, revenue, currency, is_duplicate, is_zero_value_without_id, is_counted, \
        lookback_days, lookback_complete, evidence_class, source, medium, campaign from int_conversions";
    same("int_conversions", &shop.rows(sql), &sorted(conversions));
}

fn compare_credits(shop: &dyn Answers, answer: &Attribution) {
    let journeys = answer.journeys.iter().map(|s| {
        line(&[
            s.conversion_id.to_string(),
            s.touch_id.to_string(),
            s.person_key.to_string(),
            s.position.to_string(),
            s.touches.to_string(),
            s.seconds_before.to_string(),
            s.is_before_milestone.to_string(),
            s.channel.to_string(),
        ])
    });
    let sql = "select conversion_id, touch_id, person_key, position, touches, seconds_before, \
        is_before_milestone, channel from int_journeys";
    same("int_journeys", &shop.rows(sql), &sorted(journeys));

    let credits = answer.credits.iter().map(|c| {
        line(&[
            c.conversion_id.to_string(),
            or_null(c.touch_id.as_deref()),
            c.attribution_model.name().to_owned(),
            or_null(c.position),
            c.credit_micros.to_string(),
            or_null(c.revenue_micros.map(|m| money(m.into()))),
            or_null(c.currency.as_deref()),
            c.conversion_date.to_string(),
            c.event_name.to_string(),
            c.source.to_string(),
            c.medium.to_string(),
            c.campaign.to_string(),
            c.channel.to_string(),
            c.lookback_complete.to_string(),
            money(c.refunded_micros.into()),
        ])
    });
    let sql = "select conversion_id, touch_id, attribution_model, position, credit_micros, revenue, currency, \
        cast(conversion_date as int), event_name, source, medium, campaign, channel, lookback_complete, \
        refunded from fct_credits";
    same("fct_credits", &shop.rows(sql), &sorted(credits));

    let click = |click: &PersonClick| {
        let t = &click.touch;
        line(&[
            t.person_key.to_string(),
            click.user_pseudo_id.to_string(),
            t.source.to_string(),
            t.medium.to_string(),
            t.campaign.to_string(),
            t.channel.to_string(),
            t.position.timestamp.to_string(),
            t.session_key.to_string(),
            t.touch_id.to_string(),
        ])
    };
    for (table, clicks) in
        [("mart_first_click", &answer.first_clicks), ("mart_last_click", &answer.last_clicks)]
    {
        let sql = format!(
            "select person_key, user_pseudo_id, source, medium, campaign, channel, \
             cast(cast(touched_at as timestamp) as bigint), session_key, touch_id from {table}"
        );
        // The engine's bare timestamp counts nanoseconds or microseconds; both end in the same digits.
        let rows: Vec<String> = shop.rows(&sql);
        let rows = rows.into_iter().map(in_micros).collect::<Vec<_>>();
        same(table, &sorted(rows), &sorted(clicks.iter().map(click)));
    }

    let daily = answer.daily.iter().map(|(key, totals)| {
        line(&[
            key.date.to_string(),
            key.attribution_model.name().to_owned(),
            key.event_name.to_string(),
            key.channel.to_string(),
            key.source.to_string(),
            key.medium.to_string(),
            key.campaign.to_string(),
            or_null(key.currency.as_deref()),
            totals.credit_micros.to_string(),
            money(totals.credit_micros.into()),
            money(totals.revenue_micros),
            money(totals.refunded_micros),
        ])
    });
    let sql = "select cast(date as int), attribution_model, event_name, channel, source, medium, campaign, \
        currency, credit_micros, cast(conversions as decimal(18, 6)), \
        cast(coalesce(revenue, 0) as decimal(18, 6)), cast(refunded as decimal(18, 6)) from mart_attribution_daily";
    same("mart_attribution_daily", &shop.rows(sql), &sorted(daily));
}

/// The seventh column in microseconds.
fn in_micros(row: String) -> String {
    let mut columns: Vec<&str> = row.split('|').collect();
    let at = columns.len() - 3;
    if columns[at].len() > 16 {
        columns[at] = &columns[at][..16];
    }
    columns.join("|")
}

pub(crate) fn sorted(rows: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().collect();
    rows.sort_unstable();
    rows
}

pub(crate) fn line(columns: &[String]) -> String {
    columns.join("|")
}

pub(crate) fn or_null(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NULL.to_owned(), |value| value.to_string())
}

fn position(at: &Position) -> String {
    let Position { timestamp, batch_page_id, batch_ordering_id, batch_event_index, event_key } = at;
    format!("{timestamp}|{batch_page_id}|{batch_ordering_id}|{batch_event_index}|{event_key}")
}

/// Millionths as DECIMAL(18,6) shows them.
pub(crate) fn money(micros: i128) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn days_of(date: NaiveDate) -> i32 {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).unwrap()
}

fn date_of(days: i32) -> NaiveDate {
    NaiveDate::default() + chrono::Duration::days(days.into())
}

/// Data tests of the demo hold on generated data too, in both grains.
#[test]
fn generated_data_passes_its_own_tests() {
    use clicktrail_pipeline::{RunRequest, Verb};
    let shop = Shop::demo();
    generate_into(&shop.path("data"), 9, Tz::UTC);
    good(shop.execute(&RunRequest::new(Verb::Build)).unwrap());
}

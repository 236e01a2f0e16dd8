//! Refunds and reports of the fold in plain Rust against those of the SQL.

use std::collections::BTreeMap;

use clicktrail_attribution::reference::{
    Attribution, Reports, Spend, SpendKey, SpendTotals, Text, rendered,
};

use super::events::Texts;
use super::fold::{line, money, or_null, sorted};
use super::support::{Answers, same};

/// [2.21] Refunds, whom they took from, and their sums by day.
pub(crate) fn compare_refunds(shop: &dyn Answers, answer: &Attribution) {
    let refunds = answer.refunds.iter().map(|r| {
        line(&[
            r.refund_id.to_string(),
            r.person_key.to_string(),
            r.event_key.to_string(),
            r.refunded_at.to_string(),
            r.refund_date.to_string(),
            or_null(r.conversion_id.as_deref()),
            or_null(r.event_name.as_deref()),
            or_null(r.unmatched_reason),
            or_null(r.requested_micros.map(|micros| money(micros.into()))),
            or_null(r.currency.as_deref()),
            r.refunded_from.to_string(),
            r.refunded_to.to_string(),
            money((r.refunded_to - r.refunded_from).into()),
        ])
    });
    let sql = "select refund_id, person_key, event_key, refunded_at, cast(refund_date as int), conversion_id, event_name, \
        unmatched_reason, requested, currency, refunded_from, refunded_to, refunded from int_refunds";
    same("int_refunds", &shop.rows(sql), &sorted(refunds));

    let mut daily: BTreeMap<Vec<String>, i128> = BTreeMap::new();
    let mut shares = Vec::new();
    for share in &answer.refund_shares {
        let credit = &share.credit;
        let words = [
            share.refund_date.to_string(),
            credit.attribution_model.name().to_owned(),
            credit.event_name.to_string(),
            credit.channel.to_string(),
            credit.source.to_string(),
            credit.medium.to_string(),
            credit.campaign.to_string(),
            or_null(credit.currency.as_deref()),
        ];
        let ids = [
            share.refund_id.to_string(),
            credit.conversion_id.to_string(),
            or_null(credit.touch_id.as_deref()),
        ];
        shares.push(line(&[&ids[..], &words[..], &[money(share.refunded_micros.into())]].concat()));
        *daily.entry(words.to_vec()).or_default() += i128::from(share.refunded_micros);
    }
    let sql = "select refund_id, conversion_id, touch_id, cast(refund_date as int), attribution_model, event_name, \
        channel, source, medium, campaign, currency, refunded from fct_refunds";
    same("fct_refunds", &shop.rows(sql), &sorted(shares));

    let daily =
        daily.into_iter().map(|(words, micros)| line(&[words, vec![money(micros)]].concat()));
    let sql = "select cast(date as int), attribution_model, event_name, channel, source, medium, campaign, currency, \
        cast(refunded as decimal(18, 6)) from mart_refunds_daily";
    same("mart_refunds_daily", &shop.rows(sql), &sorted(daily));
}

/// [2.15, 2.18, 2.31, 2.33] What reports count.
pub(crate) fn compare_reports(shop: &dyn Answers, reports: &Reports) {
    let lags = reports.lags.iter().map(|((event, days, currency), count)| {
        line(&[
            event.to_string(),
            days.to_string(),
            or_null(currency.as_deref()),
            count.number.to_string(),
            money(count.revenue_micros),
        ])
    });
    let sql = "select event_name, lag_days, currency, conversions, cast(coalesce(revenue, 0) as decimal(18, 6)) \
        from mart_conversion_lag";
    same("mart_conversion_lag", &shop.rows(sql), &sorted(lags));

    let assists = reports.assists.iter().map(|((event, channel, currency), of)| {
        line(&[
            event.to_string(),
            channel.to_string(),
            or_null(currency.as_deref()),
            of.participated.number.to_string(),
            of.assisted.to_string(),
            of.began.to_string(),
            of.closed.to_string(),
            of.touches.to_string(),
            money(of.participated.revenue_micros),
        ])
    });
    let sql = "select event_name, channel, currency, participated, assisted, began, closed, touches, \
        cast(coalesce(revenue_participated, 0) as decimal(18, 6)) from mart_assists";
    same("mart_assists", &shop.rows(sql), &sorted(assists));

    let provisional = reports.provisional.iter().map(|(id, (is_young, is_cut))| {
        line(&[id.to_string(), is_young.to_string(), is_cut.to_string()])
    });
    let sql = "select conversion_id, is_provisional, is_left_censored from mart_provisional";
    same("mart_provisional", &shop.rows(sql), &sorted(provisional));
    compare_paths(shop, reports);
}

fn compare_paths(shop: &dyn Answers, reports: &Reports) {
    let written = |path: &[Text]| {
        let steps: Vec<Option<&str>> = path.iter().map(|step| Some(&**step)).collect();
        rendered(&steps)
    };
    let mut lengths: BTreeMap<(String, usize, String), (u64, u64, i128)> = BTreeMap::new();
    let mut paths = Vec::new();
    for ((event, path, currency), (converted, lost)) in &reports.paths {
        let currency = or_null(currency.as_deref());
        let sums = (converted.number, *lost, converted.revenue_micros);
        paths.push(line(&[
            event.to_string(),
            written(path),
            currency.clone(),
            path.len().to_string(),
            sums.0.to_string(),
            sums.1.to_string(),
            money(sums.2),
        ]));
        let length = lengths.entry((event.to_string(), path.len(), currency)).or_default();
        *length = (length.0 + sums.0, length.1 + sums.1, length.2 + sums.2);
    }
    let columns = "touches, converted, lost, cast(coalesce(revenue, 0) as decimal(18, 6))";
    let sql = format!("select event_name, path, currency, {columns} from mart_paths");
    same("mart_paths", &shop.rows(&sql), &sorted(paths));

    let lengths = lengths.into_iter().map(|((event, touches, currency), (won, lost, revenue))| {
        let numbers = [touches.to_string(), won.to_string(), lost.to_string(), money(revenue)];
        line(&[&[event, currency][..], &numbers[..]].concat())
    });
    let sql = format!("select event_name, currency, {columns} from mart_path_lengths");
    same("mart_path_lengths", &shop.rows(&sql), &sorted(lengths));

    let transitions = reports.transitions.iter().map(|((event, from, to), steps)| {
        line(&[event.to_string(), from.to_string(), to.to_string(), steps.to_string()])
    });
    let sql = "select event_name, from_channel, to_channel, steps from mart_transitions";
    same("mart_transitions", &shop.rows(sql), &sorted(transitions));
}

/// The rows of the seed, as written.
pub(crate) fn spend(shop: &dyn Answers) -> Vec<Spend> {
    let sql = "select cast(date as int), source, medium, campaign, cast(cost * 1000000 as bigint), currency, \
        coalesce(clicks, 0), coalesce(impressions, 0) from ad_spend";
    let mut rows = Vec::new();
    for batch in shop.batches(sql) {
        let columns: Vec<Texts> = batch.columns().iter().map(Texts::new).collect();
        for row in 0..batch.num_rows() {
            let text = |column: usize| columns[column].get(row).map(Text::from);
            let number = |column: usize| columns[column].get(row).unwrap().parse::<i64>().unwrap();
            rows.push(Spend {
                date: i32::try_from(number(0)).unwrap(),
                source: text(1),
                medium: text(2),
                campaign: text(3),
                cost_micros: number(4),
                currency: text(5),
                clicks: number(6),
                impressions: number(7),
            });
        }
    }
    rows
}

/// [2.30] Spend and credit, each with what the other lacks.
pub(crate) fn compare_spend(shop: &dyn Answers, daily: &BTreeMap<SpendKey, SpendTotals>) {
    let rows = daily.iter().map(|(key, totals)| {
        line(&[
            key.date.to_string(),
            key.attribution_model.name().to_owned(),
            key.event_name.to_string(),
            key.names.join("|"),
            or_null(key.currency.as_deref()),
            money(totals.cost_micros),
            totals.clicks.to_string(),
            totals.impressions.to_string(),
            money(totals.credit_micros.into()),
            money(totals.revenue_micros),
            money(totals.refunded_micros),
        ])
    });
    let sql = "select cast(date as int), attribution_model, event_name, source, medium, campaign, currency, \
        cast(cost as decimal(18, 6)), clicks, impressions, cast(conversions as decimal(18, 6)), \
        cast(revenue as decimal(18, 6)), cast(refunded as decimal(18, 6)) from mart_spend_daily";
    same("mart_spend_daily", &shop.rows(sql), &sorted(rows));
}

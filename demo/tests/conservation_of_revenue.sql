-- Credits and the daily mart hold the revenue of the counted conversions, currency by currency, to the micro-unit.
with

expected as (

    select event_name, coalesce(currency, '-') as currency, sum(coalesce(revenue, 0)) as revenue, count(*) as conversions
    from {{ ref('int_conversions') }}
    where is_counted
    group by event_name, coalesce(currency, '-')

),

credited as (

    select
        attribution_model,
        event_name,
        coalesce(currency, '-') as currency,
        sum(coalesce(revenue, 0)) as revenue,
        sum(credit_micros) as credit_micros
    from {{ ref('fct_credits') }}
    group by attribution_model, event_name, coalesce(currency, '-')

),

reported as (

    select
        attribution_model,
        event_name,
        coalesce(currency, '-') as currency,
        sum(coalesce(revenue, 0)) as revenue,
        sum(credit_micros) as credit_micros
    from {{ ref('mart_attribution_daily') }}
    group by attribution_model, event_name, coalesce(currency, '-')

),

shares as (

    select 'fct_credits' as relation, credited.* from credited

    union all

    select 'mart_attribution_daily' as relation, reported.* from reported

)

select
    shares.relation,
    shares.attribution_model,
    shares.event_name,
    shares.currency,
    shares.revenue,
    expected.revenue as expected_revenue
from shares
left join expected on shares.event_name = expected.event_name and shares.currency = expected.currency
where expected.conversions is null
    or shares.revenue <> expected.revenue
    or shares.credit_micros <> expected.conversions * 1000000

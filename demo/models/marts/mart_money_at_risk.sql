{{ config(materialized='view') }}

with

conversions as (

    select
        conversions.*,
        untouched.reason
    from {{ ref('int_conversions') }} as conversions
    left join {{ ref('int_untouched') }} as untouched
        on conversions.person_key = untouched.person_key and conversions.conversion_id = untouched.conversion_id

),

last_clicks as (

    select person_key, conversion_id, channel, campaign
    from {{ ref('fct_credits') }}
    where attribution_model = 'last_click'

),

defects as (

    select 'without_consent' as defect, event_name, currency, revenue from conversions where is_counted and user_pseudo_id is null
    union all
    select 'window_before_first_day' as defect, event_name, currency, revenue from conversions where is_counted and not lookback_complete
    union all
    select 'without_transaction_id' as defect, event_name, currency, revenue from conversions where is_counted and event_name = 'purchase' and transaction_id is null
    union all
    select 'duplicate_not_counted' as defect, event_name, currency, revenue from conversions where is_duplicate
    union all
    select 'without_value' as defect, event_name, currency, revenue from conversions where is_counted and event_name = 'purchase' and coalesce(revenue, 0) = 0
    union all
    select 'unknown_currency' as defect, event_name, currency, revenue from conversions where is_counted and revenue is not null and currency is null
    union all
    select 'nobody_to_credit' as defect, event_name, currency, revenue from conversions where reason in ('no_consent', 'nothing')
    union all
    select 'last_click_unassigned' as defect, conversions.event_name, conversions.currency, conversions.revenue
    from conversions
    inner join last_clicks on conversions.person_key = last_clicks.person_key and conversions.conversion_id = last_clicks.conversion_id
    where last_clicks.channel = 'Unassigned'
    union all
    select 'paid_click_without_campaign' as defect, conversions.event_name, conversions.currency, conversions.revenue
    from conversions
    inner join last_clicks on conversions.person_key = last_clicks.person_key and conversions.conversion_id = last_clicks.conversion_id
    where last_clicks.campaign = '(not set)' and last_clicks.channel in ({{ quoted(var('paid_channels')) }})

)

select
    defect,
    event_name,
    currency,
    count(*) as conversions,
    {{ amount('sum(revenue)') }} as revenue
from defects
group by defect, event_name, currency

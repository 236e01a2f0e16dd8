{{ config(materialized='table') }}

select
    conversion_date as date,
    attribution_model,
    event_name,
    channel,
    source,
    medium,
    campaign,
    currency,
    {{ amount('sum(credit_micros) * 0.000001') }} as conversions,
    {{ amount('sum(revenue)') }} as revenue,
    {{ amount('sum(refunded)') }} as refunded,
    cast(sum(credit_micros) as bigint) as credit_micros
from {{ ref('fct_credits') }}
group by conversion_date, attribution_model, event_name, channel, source, medium, campaign, currency

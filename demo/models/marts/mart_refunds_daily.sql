{{ config(materialized='table') }}

select
    refund_date as date,
    attribution_model,
    event_name,
    channel,
    source,
    medium,
    campaign,
    currency,
    {{ amount('sum(refunded)') }} as refunded
from {{ ref('fct_refunds') }}
group by refund_date, attribution_model, event_name, channel, source, medium, campaign, currency

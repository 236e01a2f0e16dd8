{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

with

-- Where each credit lies in its conversion, in millionths.
credits as (

    select
        *,
        {{ whole('sum(credit_micros) over (partition by person_key, conversion_id, attribution_model order by position rows between unbounded preceding and current row)') }}
            as credit_to
    from {{ ref('fct_credits') }}

),

-- Divided as the order was [2.21]. Bounds of refunds and of credits are both shared by neighbours, so refunds sum to what
-- fct_credits says was refunded of each touch.
shares as (

    select
        refunds.refund_id,
        refunds.conversion_id,
        credits.touch_id,
        credits.attribution_model,
        credits.person_key,
        refunds.refund_date,
        credits.conversion_date,
        credits.event_name,
        {{ amount_between('refunds.refunded_to', '(credits.credit_to - credits.credit_micros)', 'credits.credit_to') }}
        - {{ amount_between('refunds.refunded_from', '(credits.credit_to - credits.credit_micros)', 'credits.credit_to') }}
            as refunded_micros,
        credits.currency,
        credits.source,
        credits.medium,
        credits.campaign,
        credits.channel
    from {{ ref('int_refunds') }} as refunds
    inner join credits
        on refunds.person_key = credits.person_key and refunds.conversion_id = credits.conversion_id

)

select
    refund_id,
    conversion_id,
    touch_id,
    attribution_model,
    person_key,
    refund_date,
    conversion_date,
    event_name,
    {{ from_micros('refunded_micros') }} as refunded,
    currency,
    source,
    medium,
    campaign,
    channel
from shares
where refunded_micros <> 0

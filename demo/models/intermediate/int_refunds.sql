{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{%- set by_person = var('order_dedupe_scope') == 'device' %}

with

refunds as (

    select
        person_key,
        user_pseudo_id,
        {{ total_order() }},
        transaction_id,
        revenue,
        currency
    from {{ ref('int_event_sessions') }}
    where event_name = 'refund'

),

orders as (

    select * from {{ ref('int_conversions') }} where is_counted and transaction_id is not null

),

-- An order of the same id, before the refund, on the same device or anywhere in the property [2.20, 2.21].
matched as (

    select
        refunds.*,
        orders.person_key as order_person_key,
        orders.conversion_id,
        orders.event_name as key_event,
        orders.transaction_revenue as order_revenue,
        orders.transaction_currency as order_currency,
        orders.revenue as reported_revenue,
        orders.currency as reported_currency,
        case
            when refunds.transaction_id is null then 'no_transaction_id'
            when orders.conversion_id is null then 'no_such_order'
            when refunds.revenue is not null and coalesce(refunds.currency, '-') <> coalesce(orders.transaction_currency, '-')
                then 'other_currency'
            when coalesce(orders.transaction_revenue, 0) <= 0 then 'order_without_value'
        end as unmatched_reason
    from refunds
    left join orders
        on refunds.transaction_id = orders.transaction_id
        {%- if by_person %}
        and refunds.person_key = orders.person_key
        {%- endif %}
        and {{ not_after('orders', 'converted_at', 'refunds', 'event_timestamp') }}

),

-- Refunds of an order, whoever sent them, add up to its value at most; one without an amount takes back all that is left [2.21].
wanted as (

    select
        *,
        case
            when unmatched_reason is not null then 0
            else coalesce(abs({{ to_micros('revenue') }}), {{ to_micros('order_revenue') }})
        end as wanted_micros,
        coalesce({{ to_micros('order_revenue') }}, 0) as order_micros
    from matched

),

reached as (

    select
        *,
        {{ whole('sum(wanted_micros) over (partition by ' ~ ('person_key, ' if by_person else '') ~ 'conversion_id order by ' ~ total_order() ~ ' rows between unbounded preceding and current row)') }}
            as wanted_so_far
    from wanted

),

capped as (

    select
        *,
        case when unmatched_reason is null then least(wanted_so_far - wanted_micros, order_micros) else 0 end as taken_from,
        case when unmatched_reason is null then least(wanted_so_far, order_micros) else 0 end as taken_to,
        coalesce({{ to_micros('reported_revenue') }}, 0) as reported_micros
    from reached

),

-- In the currency of reports at the order's own rate, so that what is refunded whole is nothing [2.22].
reported as (

    select
        *,
        {%- for bound in ['from', 'to'] %}
        case
            when taken_{{ bound }} = 0 then 0
            else {{ proportion('taken_' ~ bound, 'reported_micros', 'order_micros') }}
        end as refunded_{{ bound }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from capped

)

select
    {{ hash_key(['event_key', 'conversion_id']) }} as refund_id,
    {{ 'person_key' if by_person else 'coalesce(order_person_key, person_key)' }} as person_key,
    user_pseudo_id,
    event_key,
    event_timestamp as refunded_at,
    {{ local_date('event_timestamp') }} as refund_date,
    transaction_id,
    case when unmatched_reason is null then conversion_id end as conversion_id,
    case when unmatched_reason is null then key_event end as event_name,
    coalesce(unmatched_reason, case when taken_to = taken_from then 'nothing_left' end) as unmatched_reason,
    revenue as requested,
    coalesce(case when unmatched_reason is null then reported_currency end, currency) as currency,
    {{ whole('refunded_from') }} as refunded_from,
    {{ whole('refunded_to') }} as refunded_to,
    {{ from_micros('(refunded_to - refunded_from)') }} as refunded
from reported

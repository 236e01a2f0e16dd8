-- Refunds of an order are at most its value, and both views of them hold the same sum under every attribution model [2.21].
with

refunded as (

    select event_name, currency, sum(refunded) as refunded
    from {{ ref('int_refunds') }}
    where conversion_id is not null
    group by event_name, currency

),

by_order_date as (

    select event_name, currency, attribution_model, sum(refunded) as refunded
    from {{ ref('mart_attribution_daily') }}
    group by event_name, currency, attribution_model
    having sum(refunded) <> 0

),

by_refund_date as (

    select event_name, currency, attribution_model, sum(refunded) as refunded
    from {{ ref('mart_refunds_daily') }}
    group by event_name, currency, attribution_model

),

too_much as (

    select refunds.conversion_id, max(orders.revenue) as revenue, sum(refunds.refunded) as refunded
    from {{ ref('int_refunds') }} as refunds
    inner join {{ ref('int_conversions') }} as orders on refunds.conversion_id = orders.conversion_id
    group by refunds.conversion_id
    having sum(refunds.refunded) > max(orders.revenue)

)

select 'by order date' as fault, by_order_date.attribution_model as place, by_order_date.refunded, refunded.refunded as expected
from by_order_date
left join refunded
    on by_order_date.event_name = refunded.event_name and by_order_date.currency = refunded.currency
where refunded.refunded is null or by_order_date.refunded <> refunded.refunded

union all

select 'by refund date' as fault, by_refund_date.attribution_model as place, by_refund_date.refunded, by_order_date.refunded as expected
from by_refund_date
full outer join by_order_date
    on by_refund_date.event_name = by_order_date.event_name
    and by_refund_date.currency = by_order_date.currency
    and by_refund_date.attribution_model = by_order_date.attribution_model
where coalesce(by_refund_date.refunded, 0) <> coalesce(by_order_date.refunded, 0)

union all

select 'more than the order' as fault, conversion_id as place, refunded, revenue as expected
from too_much

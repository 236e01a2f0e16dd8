-- The join of spend and credit loses neither, under any attribution model [2.30].
with

spend as (

    select coalesce(sum(cost), 0) as cost from {{ ref('int_spend') }}

),

credited as (

    select attribution_model, event_name, sum(credit_micros) as credit_micros, sum(coalesce(revenue, 0)) as revenue
    from {{ ref('fct_credits') }}
    group by attribution_model, event_name

),

joined as (

    select
        attribution_model,
        event_name,
        sum(cost) as cost,
        sum(conversions) as conversions,
        sum(revenue) as revenue
    from {{ ref('mart_spend_daily') }}
    group by attribution_model, event_name

)

select joined.*, spend.cost as expected_cost, credited.revenue as expected_revenue
from joined
cross join spend
left join credited
    on joined.attribution_model = credited.attribution_model and joined.event_name = credited.event_name
where joined.cost <> spend.cost
    or joined.conversions * 1000000 <> coalesce(credited.credit_micros, 0)
    or joined.revenue <> coalesce(credited.revenue, 0)

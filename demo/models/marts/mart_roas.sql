{{ config(materialized='view') }}

-- Rates are made from sums, never summed themselves [2.33]: what a conversion costs by credit, what a unit of cost brings
-- by value [2.30].
with

totals as (

    select
        attribution_model,
        event_name,
        channel,
        source,
        medium,
        campaign,
        currency,
        {{ amount('sum(cost)') }} as cost,
        {{ whole('sum(clicks)') }} as clicks,
        {{ whole('sum(impressions)') }} as impressions,
        {{ amount('sum(conversions)') }} as conversions,
        {{ amount('sum(revenue)') }} as revenue,
        {{ amount('sum(refunded)') }} as refunded
    from {{ ref('mart_spend_daily') }}
    group by attribution_model, event_name, channel, source, medium, campaign, currency

)

select
    *,
    cast(cost as {{ float_type() }}) / nullif(cast(conversions as {{ float_type() }}), 0) as cost_per_conversion,
    cast(revenue - refunded as {{ float_type() }}) / nullif(cast(cost as {{ float_type() }}), 0) as roas
from totals
where cost > 0

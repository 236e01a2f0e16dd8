{{ config(materialized='view') }}

with

journeys as (

    select
        person_key,
        conversion_id,
        {{ int_div('max(seconds_before)', 86400) }} as lag_days
    from {{ ref('int_journeys') }}
    group by person_key, conversion_id

)

select
    conversions.event_name,
    journeys.lag_days,
    conversions.currency,
    count(*) as conversions,
    {{ amount('sum(conversions.revenue)') }} as revenue
from journeys
inner join {{ ref('int_conversions') }} as conversions
    on journeys.person_key = conversions.person_key and journeys.conversion_id = conversions.conversion_id
group by conversions.event_name, journeys.lag_days, conversions.currency

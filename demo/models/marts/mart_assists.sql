{{ config(materialized='view') }}

with

-- One row per conversion and channel of its journey.
parts as (

    select
        journeys.person_key,
        journeys.conversion_id,
        journeys.channel,
        count(*) as touches,
        max(case when journeys.position = 1 then 1 else 0 end) as begins,
        max(case when journeys.position = journeys.touches then 1 else 0 end) as ends
    from {{ ref('int_journeys') }} as journeys
    group by journeys.person_key, journeys.conversion_id, journeys.channel

)

select
    conversions.event_name,
    parts.channel,
    conversions.currency,
    count(*) as participated,
    {{ whole('sum(1 - parts.ends)') }} as assisted,
    {{ whole('sum(parts.begins)') }} as began,
    {{ whole('sum(parts.ends)') }} as closed,
    {{ whole('sum(parts.touches)') }} as touches,
    {{ amount('sum(conversions.revenue)') }} as revenue_participated
from parts
inner join {{ ref('int_conversions') }} as conversions
    on parts.person_key = conversions.person_key and parts.conversion_id = conversions.conversion_id
group by conversions.event_name, parts.channel, conversions.currency

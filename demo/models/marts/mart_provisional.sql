{{ config(materialized='view') }}

with

latest as (

    select max(event_timestamp) as latest_at from {{ ref('int_events') }}

)

select
    conversions.conversion_id,
    conversions.person_key,
    conversions.event_name,
    conversions.conversion_date,
    conversions.revenue,
    conversions.currency,
    conversions.converted_at > latest.latest_at - 259200000000 as is_provisional,
    not conversions.lookback_complete as is_left_censored
from {{ ref('int_conversions') }} as conversions
cross join latest
where conversions.is_counted
    and (conversions.converted_at > latest.latest_at - 259200000000 or not conversions.lookback_complete)

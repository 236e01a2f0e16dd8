{{ config(materialized='view') }}

select
    event_name,
    touches,
    currency,
    {{ whole('sum(converted)') }} as converted,
    {{ whole('sum(lost)') }} as lost,
    {{ amount('sum(revenue)') }} as revenue
from {{ ref('mart_paths') }}
group by event_name, touches, currency

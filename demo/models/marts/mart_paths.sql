{{ config(materialized='table') }}

select
    event_name,
    path,
    currency,
    touches,
    {{ whole('sum(case when is_converted then 1 else 0 end)') }} as converted,
    {{ whole('sum(case when is_converted then 0 else 1 end)') }} as lost,
    {{ amount('sum(revenue)') }} as revenue
from {{ ref('int_paths') }}
group by event_name, path, currency, touches

{{ config(materialized='table') }}

select
    min(event_date) as first_date,
    {{ local_midnight_micros('min(event_date)') }} as first_day_starts_at
from {{ ref('int_events') }}
-- No row where nothing is loaded: a stream begins with no event at all.
having min(event_date) is not null

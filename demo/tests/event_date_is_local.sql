-- The export's date is the local date of the event, but for late hits. Fails often when var `timezone` is not the
-- property's zone [2.23].
{{ config(severity='warn') }}

select
    count(*) as events,
    sum(case when event_date <> event_local_date then 1 else 0 end) as differing
from {{ ref('int_events') }}
having sum(case when event_date <> event_local_date then 1 else 0 end) * 100 > count(*)

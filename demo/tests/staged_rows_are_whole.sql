-- One pass over staging, which is a view: every row names its day, time, event and feed.
select event_date, event_timestamp, event_name, event_key, origin
from {{ ref('stg_events') }}
where event_date is null
    or event_timestamp is null
    or event_name is null
    or event_key is null
    or origin not in ('daily', 'intraday', 'stream')

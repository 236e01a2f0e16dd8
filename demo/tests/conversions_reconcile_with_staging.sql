-- Every key event in staging is a conversion, counted or flagged; copies of one event are one [2.13, 2.19].
with

staged as (

    select event_name, count(distinct event_key) as key_events
    from {{ ref('stg_events') }}
    where event_name in ({{ quoted(var('key_events')) }})
    group by event_name

),

kept as (

    select
        event_name,
        sum(case when is_counted or is_duplicate or is_zero_value_without_id or is_repeat_in_session then 1 else 0 end) as key_events
    from {{ ref('int_conversions') }}
    where event_name in ({{ quoted(var('key_events')) }})
    group by event_name

)

select
    coalesce(staged.event_name, kept.event_name) as event_name,
    staged.key_events as staged_events,
    kept.key_events as conversions
from staged
full outer join kept on staged.event_name = kept.event_name
where coalesce(staged.key_events, 0) <> coalesce(kept.key_events, 0)

{{ config(
    materialized='table',
    partition_by={'field': 'event_date', 'data_type': 'date'} if target.type != 'duckdb' else none,
    cluster_by=['person_key'],
    meta={'live': {'key': 'event_date'}}
) }}

with

events as (

    select {{ stg_event_columns() }} from {{ ref('stg_events') }}

),

-- Nearly every key occurs once: only the others go through a window [2.19]. The person is part of the event's
-- key; it is named so that the model is local to the day and to the person, for builds and for live. The few stand
-- left in the joins: an engine without statistics hashes that side, and streams the other.
repeated as (

    select event_date, person_key, event_key, count(*) as copies
    from events
    group by event_date, person_key, event_key
    having count(*) > 1

),

single_events as (

    select events.*, 1 as copies
    from repeated
    right join events
        on events.event_date = repeated.event_date
        and events.person_key = repeated.person_key
        and events.event_key = repeated.event_key
    where repeated.event_key is null

),

ranked_copies as (

    select
        events.*,
        repeated.copies,
        row_number() over (
            partition by events.event_date, events.person_key, events.event_key
            order by
                {%- for column in copy_order().split(', ') %}
                events.{{ column }} nulls first{% if not loop.last %},{% endif %}
                {%- endfor %}
        ) as copy_number
    from repeated
    inner join events
        on events.event_date = repeated.event_date
        and events.person_key = repeated.person_key
        and events.event_key = repeated.event_key

),

deduplicated as (

    select {{ stg_event_columns() }}, copies from single_events

    union all

    select {{ stg_event_columns() }}, copies from ranked_copies where copy_number = 1

)

select
    {{ stg_event_columns() }},
    copies,
    {{ utc_timestamp('event_timestamp') }} as event_at,
    {{ local_timestamp('event_timestamp') }} as event_local_at,
    {{ local_date('event_timestamp') }} as event_local_date
from deduplicated

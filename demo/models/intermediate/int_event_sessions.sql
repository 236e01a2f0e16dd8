{{ config(materialized='ephemeral', meta={'live': {'key': 'person_key'}}) }}

with

identified as (

    select
        {{ session_event_columns() }},
        {{ to_text('ga_session_id') }} as session_id,
        false as is_derived
    from {{ ref('int_events') }}
    where ga_session_id is not null or user_pseudo_id is null

),

-- Events without a session id are attached by 30 minutes of inactivity [2.17]. Only streams of persons that have
-- such events are sorted: the windows are partitioned by the side of the holes, as an engine that sorts below a join would
-- sort all events otherwise.
holes as (

    select distinct person_key, stream_id
    from {{ ref('int_events') }}
    where ga_session_id is null and user_pseudo_id is not null

),

sequenced as (

    select
        events.*,
        row_number() over (
            partition by holes.person_key, events.stream_id order by {{ total_order('events') }}
        ) as event_number,
        lag(events.event_timestamp) over (
            partition by holes.person_key, events.stream_id order by {{ total_order('events') }}
        ) as previous_timestamp
    from holes
    inner join {{ ref('int_events') }} as events
        on holes.person_key = events.person_key
        and coalesce(holes.stream_id, '') = coalesce(events.stream_id, '')

),

-- An event that names its session, or opens a derived one.
anchored as (

    select
        *,
        case
            when ga_session_id is not null then {{ to_text('ga_session_id') }}
            when previous_timestamp is null or event_timestamp - previous_timestamp > 1800000000
                then 'derived:' || {{ to_text('event_timestamp') }}
        end as anchor
    from sequenced

),

runs as (

    select
        *,
        count(anchor) over (
            partition by person_key, stream_id order by event_number
            rows between unbounded preceding and current row
        ) as run_number
    from anchored

),

attached as (

    select
        *,
        max(anchor) over (partition by person_key, stream_id, run_number) as session_id
    from runs

),

events as (

    select * from identified

    union all

    select {{ session_event_columns() }}, session_id, session_id like 'derived:%' as is_derived
    from attached
    where ga_session_id is null

)

select
    *,
    case
        when user_pseudo_id is not null
            then {{ hash_key(["'" ~ var('property_id') ~ "'", 'stream_id', 'user_pseudo_id', 'session_id']) }}
    end as session_key
from events

{{ config(materialized='view') }}

with

-- Google's answer of each session, and the last click of it and of the 90 days before, by our evidence.
google as (

    select
        person_key,
        session_key,
        session_started_at,
        lower(source) as google_source,
        lower(medium) as google_medium
    from {{ ref('int_sessions') }}
    where source_record = 'last_click'

),

numbered as (

    select
        google.person_key,
        google.session_key,
        google.google_source,
        google.google_medium,
        touches.source,
        touches.medium,
        touches.is_direct,
        touches.session_key = google.session_key as is_own,
        row_number() over (
            partition by google.person_key, google.session_key
            order by
                case when touches.session_key = google.session_key and not touches.is_direct then 0 else 1 end,
                case when touches.session_key = google.session_key and not touches.is_direct then touches.touch_number end,
                case when touches.is_direct then 1 else 0 end,
                touches.touch_number desc
        ) as preference
    from google
    inner join {{ ref('int_touchpoints') }} as touches on google.person_key = touches.person_key
    where touches.session_key = google.session_key
        or touches.touched_at between google.session_started_at - 90 * 86400000000 and google.session_started_at

),

compared as (

    select
        *,
        case
            when lower(source) = google_source and lower(medium) = google_medium then 'same'
            when google_source in ('(direct)', 'direct') and not is_direct and is_own then 'evidence_google_does_not_use'
            when google_source in ('(direct)', 'direct') and not is_direct then 'carried_over_by_us_only'
            when is_direct then 'google_knows_earlier_or_modelled_visits'
            when lower(source) = google_source then 'other_medium'
            when lower(medium) = google_medium then 'other_source_name'
            when not is_own then 'another_earlier_click'
            else 'another_click_of_the_session'
        end as cause
    from numbered
    where preference = 1

)

select cause, count(*) as sessions
from compared
group by cause

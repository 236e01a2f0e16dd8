{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}
-- depends_on: {{ ref('int_sessions') }}

with

conversions as (

    select
        conversions.*,
        conversions.converted_at - conversions.lookback_days * 86400000000 as window_starts_at
        {%- if var('touch_grain') == 'session' %},
        sessions.session_started_at
        {%- endif %}
    from {{ ref('int_conversions') }} as conversions
    {%- if var('touch_grain') == 'session' %}
    inner join {{ ref('int_sessions') }} as sessions
        on conversions.person_key = sessions.person_key and conversions.session_key = sessions.session_key
    {%- endif %}
    where conversions.is_counted

),

-- A closed window in microseconds [2.14], and never a touch from the future [2.4].
journeys as (

    select
        conversions.conversion_id,
        conversions.converted_at,
        touches.*,
        {%- if var('touch_grain') == 'session' %}
        case when touches.session_key = conversions.session_key then 1 else 0 end as own_session
        {%- else %}
        0 as own_session
        {%- endif %}
    from conversions
    inner join {{ ref('int_touchpoints') }} as touches on conversions.person_key = touches.person_key
    {%- if var('touch_grain') == 'session' %}
    where touches.session_key = conversions.session_key
        or touches.touched_at between conversions.window_starts_at and conversions.session_started_at
    {%- else %}
    where touches.touched_at >= conversions.window_starts_at
        and {{ not_after('touches', 'touched_at', 'conversions', 'converted_at') }}
    {%- endif %}

)

select
    conversion_id,
    touch_id,
    person_key,
    cast(row_number() over (
        partition by person_key, conversion_id order by own_session, touch_number
    ) as bigint) as position,
    count(*) over (partition by person_key, conversion_id) as touches,
    cast(floor((converted_at - touched_at) / 1000000) as bigint) as seconds_before,
    session_key,
    touched_at,
    source,
    medium,
    campaign,
    click_id,
    channel,
    channel_rule,
    is_direct
from journeys

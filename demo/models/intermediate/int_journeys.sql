{%- set by_device = is_one_device() | trim == 'yes' -%}
{{ config(materialized='table', meta={'live': {'key': 'person_key'}} if by_device else {}) }}
-- depends_on: {{ ref('int_sessions') }}

{%- set resets = var('path_reset') == 'same_key_event' %}
{%- set by_session = var('touch_grain') == 'session' %}
{%- set excluded = var('excluded_channels') if by_session else [] %}
{#- Read only where `w_shaped` is enabled, or at session grain; said here, as they stand behind that condition. #}
{%- if not execute %}
{{ ref('int_events') }} {{ ref('int_event_sessions') }} {{ ref('own_channel_rules') }} {{ ref('stg_source_categories') }}
{%- endif %}
{#- The devices of a conversion's person, read where it may have several [2.26]. #}
{%- if not execute %}{{ ref('int_conversion_devices') }}{% endif %}
{%- set touchpoints = 'all_touches' if excluded else ref('int_touchpoints') %}
{%- set milestone_events = var('milestone_events') if 'w_shaped' in var('attribution_models') else [] %}

with

conversions as (

    select
        conversions.*,
        conversions.converted_at - conversions.lookback_days * 86400000000 as window_starts_at
        {%- if resets %},
        row_number() over (
            partition by conversions.person_key, conversions.event_name
            order by
                conversions.converted_at, conversions.batch_page_id, conversions.batch_ordering_id,
                conversions.batch_event_index, conversions.event_key
        ) as conversion_number
        {%- endif %}
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

{%- if excluded %}

-- What a session had shown by the conversion says whether it is left out, so all of them are looked at [2.4, 2.6].
all_touches as (

    {{ touchpoint_rows([]) }}

),
{%- endif %}

{%- if not by_device %}

-- Touches of all devices of a conversion's person, which is told by the conversion's own device [2.26].
touches as (

    select
        devices.person_key,
        devices.conversion_id as conversion_of_touch,
        touches.touch_id,
        touches.session_key,
        touches.touched_at,
        touches.batch_page_id,
        touches.batch_ordering_id,
        touches.batch_event_index,
        touches.event_key,
        touches.source,
        touches.medium,
        touches.campaign,
        touches.click_id,
        touches.channel,
        touches.channel_rule,
        touches.is_direct,
        row_number() over (
            partition by devices.person_key, devices.conversion_id
            order by {{ total_order('touches') | replace('event_timestamp', 'touched_at') }}
        ) as touch_number
    from {{ ref('int_conversion_devices') }} as devices
    inner join {{ touchpoints }} as touches on devices.device_key = touches.person_key

),
{%- if resets %}

previous_conversions as (

    select
        conversions.person_key,
        conversions.conversion_id,
        previous.converted_at,
        previous.batch_page_id,
        previous.batch_ordering_id,
        previous.batch_event_index,
        previous.event_key,
        row_number() over (
            partition by conversions.person_key, conversions.conversion_id
            order by
                previous.converted_at desc, previous.batch_page_id desc, previous.batch_ordering_id desc,
                previous.batch_event_index desc, previous.event_key desc
        ) as number_from_end
    from conversions
    inner join {{ ref('int_conversion_devices') }} as devices
        on conversions.person_key = devices.person_key and conversions.conversion_id = devices.conversion_id
    inner join conversions as previous
        on devices.device_key = previous.person_key and conversions.event_name = previous.event_name
    where conversions.conversion_id <> previous.conversion_id
        and {{ not_after('previous', 'converted_at', 'conversions', 'converted_at') }}

),
{%- endif %}
{%- endif %}

{%- if milestone_events %}

milestones as (

    select
        {%- if by_device %}
        person_key,
        {{ total_order() }},
        row_number() over (partition by person_key order by {{ total_order() }}) as milestone_number
    from {{ ref('int_events') }}
    where event_name in ({{ quoted(milestone_events) }})
        {%- else %}
        devices.person_key,
        devices.conversion_id as conversion_of_milestone,
        {{ total_order('events') }},
        row_number() over (
            partition by devices.person_key, devices.conversion_id order by {{ total_order('events') }}
        ) as milestone_number
    from {{ ref('int_conversion_devices') }} as devices
    inner join {{ ref('int_events') }} as events on devices.device_key = events.person_key
    where events.event_name in ({{ quoted(milestone_events) }})
        {%- endif %}

),

-- The first milestone in the window of a conversion.
reached as (

    select
        conversions.person_key,
        conversions.conversion_id,
        min(milestones.milestone_number) as milestone_number
    from conversions
    inner join milestones on conversions.person_key = milestones.person_key
        {%- if not by_device %} and conversions.conversion_id = milestones.conversion_of_milestone{% endif %}
    where milestones.event_timestamp >= conversions.window_starts_at
        and {{ not_after('milestones', 'event_timestamp', 'conversions', 'converted_at') }}
    group by conversions.person_key, conversions.conversion_id

),

conversion_milestones as (

    select reached.conversion_id, milestones.*
    from reached
    inner join milestones
        on reached.person_key = milestones.person_key and reached.milestone_number = milestones.milestone_number
        {%- if not by_device %} and reached.conversion_id = milestones.conversion_of_milestone{% endif %}

),
{%- endif %}

-- A closed window in microseconds [2.14], and never a touch from the future [2.4].
journeys as (

    select
        conversions.conversion_id,
        conversions.converted_at,
        touches.*,
        {%- if var('touch_grain') == 'session' %}
        case when touches.session_key = conversions.session_key then 1 else 0 end as own_session,
        {%- else %}
        0 as own_session,
        {%- endif %}
        {%- if resets %}
        {{ not_after('touches', 'touched_at', 'previous', 'converted_at') }} as is_spent,
        {%- endif %}
        {%- if milestone_events %}
        coalesce(
            {{ not_after('touches', 'touched_at', 'conversion_milestones', 'event_timestamp') }}, false
        ) as is_before_milestone
        {%- else %}
        false as is_before_milestone
        {%- endif %}
    from conversions
    {%- if by_device %}
    inner join {{ touchpoints }} as touches on conversions.person_key = touches.person_key
    {%- else %}
    inner join touches
        on conversions.person_key = touches.person_key and conversions.conversion_id = touches.conversion_of_touch
    {%- endif %}
    {%- if resets and by_device %}
    left join conversions as previous
        on conversions.person_key = previous.person_key
        and conversions.event_name = previous.event_name
        and conversions.conversion_number = previous.conversion_number + 1
    {%- elif resets %}
    left join previous_conversions as previous
        on conversions.person_key = previous.person_key
        and conversions.conversion_id = previous.conversion_id
        and previous.number_from_end = 1
    {%- endif %}
    {%- if milestone_events %}
    left join conversion_milestones
        on conversions.person_key = conversion_milestones.person_key
        and conversions.conversion_id = conversion_milestones.conversion_id
    {%- endif %}
    {%- if var('touch_grain') == 'session' %}
    where touches.session_key = conversions.session_key
        or touches.touched_at between conversions.window_starts_at and conversions.session_started_at
    {%- else %}
    where touches.touched_at >= conversions.window_starts_at
        and {{ not_after('touches', 'touched_at', 'conversions', 'converted_at') }}
    {%- endif %}

)
{%- if by_session %},

{{ as_of_conversion_ctes() }},

labelled as (

    select
        journeys.conversion_id,
        journeys.converted_at,
        journeys.touch_id,
        journeys.person_key,
        journeys.own_session,
        journeys.touch_number,
        journeys.session_key,
        journeys.touched_at,
        journeys.click_id,
        journeys.is_before_milestone,
        {%- if resets %}
        journeys.is_spent,
        {%- endif %}
        {%- for name in ['source', 'medium', 'campaign', 'channel', 'channel_rule', 'is_direct'] %}
        case when classified.conversion_id is null then journeys.{{ name }} else classified.{{ name }} end as {{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from journeys
    left join classified
        on journeys.person_key = classified.person_key
        and journeys.conversion_id = classified.conversion_id
        and journeys.session_key = classified.session_key

)
{%- endif %}
{%- if excluded %},

shown as (

    select * from labelled where channel not in ({{ quoted(excluded) }})

)
{%- endif %}
{%- set steps = 'shown' if excluded else 'labelled' if by_session else 'journeys' %}
{%- if resets %},

-- The last touch of all stays: what led to a second order was what led to the first [2.12].
numbered as (

    select
        *,
        row_number() over (
            partition by person_key, conversion_id order by own_session desc, touch_number desc
        ) as number_from_end
    from {{ steps }}

),

kept as (

    select * from numbered where coalesce(not is_spent, true) or number_from_end = 1

)
{%- endif %}

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
    is_direct,
    is_before_milestone
from {{ 'kept' if resets else steps }}

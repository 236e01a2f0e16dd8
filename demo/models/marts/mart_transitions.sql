{{ config(materialized='view') }}

with

-- Steps of converted journeys.
won as (

    select
        conversions.event_name,
        journeys.person_key,
        journeys.touch_id,
        journeys.channel,
        journeys.position,
        journeys.touches,
        lag(journeys.channel) over (
            partition by journeys.person_key, journeys.conversion_id order by journeys.position
        ) as before
    from {{ ref('int_journeys') }} as journeys
    inner join {{ ref('int_conversions') }} as conversions
        on journeys.person_key = conversions.person_key and journeys.conversion_id = conversions.conversion_id

),

won_touches as (

    select distinct {% if is_one_device() | trim == 'yes' %}person_key, {% endif %}event_name, touch_id from won

),

single as (

    select conversions.event_name, untouched.channel
    from {{ ref('int_untouched') }} as untouched
    inner join {{ ref('int_conversions') }} as conversions
        on untouched.person_key = conversions.person_key and untouched.conversion_id = conversions.conversion_id

),

won_persons as (

    {{ won_persons() }}

),

-- Touches that no journey of the key event holds, numbered within the path that int_paths makes of them.
lost_touches as (
    {% for name in var('key_events') + (var('own_key_events') | list) %}
    select
        '{{ name }}' as event_name,
        touches.person_key,
        touches.channel,
        touches.touch_number,
        touches.won_before
    from (
        {{ lost_touches(name) }}
    ) as touches
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
),

lost as (

    select
        event_name,
        channel,
        lag(channel) over (partition by event_name, person_key, won_before order by touch_number) as before,
        lead(channel) over (partition by event_name, person_key, won_before order by touch_number) as after
    from lost_touches

),

steps as (

    select event_name, coalesce(before, '(start)') as from_channel, channel as to_channel from won
    union all
    select event_name, channel as from_channel, '(conversion)' as to_channel from won where position = touches
    union all
    select event_name, '(start)' as from_channel, channel as to_channel from single
    union all
    select event_name, channel as from_channel, '(conversion)' as to_channel from single
    union all
    select event_name, coalesce(before, '(start)') as from_channel, channel as to_channel from lost
    union all
    select event_name, channel as from_channel, '(loss)' as to_channel from lost where after is null

)

select event_name, from_channel, to_channel, count(*) as steps
from steps
group by event_name, from_channel, to_channel

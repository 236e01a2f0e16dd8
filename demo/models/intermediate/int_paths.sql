{#- Touches of one device may be won by a conversion on another, unless a person is one device [2.26]. -#}
{%- set by_device = is_one_device() | trim == 'yes' -%}
{{ config(materialized='table', meta={'live': {'key': 'person_key'}} if by_device else {}) }}

with

conversions as (

    select * from {{ ref('int_conversions') }} where is_counted

),

converted as (

    select
        conversions.person_key,
        conversions.conversion_id,
        {{ joined_path('journeys.channel', 'journeys.position') }} as path,
        count(*) as touches
    from conversions
    inner join {{ ref('int_journeys') }} as journeys
        on conversions.person_key = journeys.person_key and conversions.conversion_id = journeys.conversion_id
    group by conversions.person_key, conversions.conversion_id

    union all

    select person_key, conversion_id, {{ prefixed('channel') }} as path, 1 as touches
    from {{ ref('int_untouched') }}

),

-- Touches of a key event's journeys.
won_touches as (

    select distinct
        {%- if by_device %}
        conversions.person_key,
        {%- endif %}
        conversions.event_name,
        journeys.touch_id
    from conversions
    inner join {{ ref('int_journeys') }} as journeys
        on conversions.person_key = journeys.person_key and conversions.conversion_id = journeys.conversion_id

),

won_persons as (

    {{ won_persons() }}

),

-- For each key event all others are lost; those between two that were won are one path.
lost as (
    {% for name in var('key_events') + (var('own_key_events') | list) %}
    select
        person_key,
        '{{ name }}' as event_name,
        {{ first_by('touch_id', 'touch_number') }} as touch_id,
        {{ joined_path('channel', 'touch_number') }} as path,
        count(*) as touches,
        max(touched_at) as ended_at
    from (
        {{ lost_touches(name) }}
    ) as touches
    group by person_key, won_before
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
)

select
    conversions.person_key,
    conversions.conversion_id as path_id,
    conversions.event_name,
    converted.path,
    {{ whole('converted.touches') }} as touches,
    true as is_converted,
    conversions.revenue,
    conversions.currency,
    conversions.conversion_date as path_date,
    conversions.lookback_complete
from converted
inner join conversions
    on converted.person_key = conversions.person_key and converted.conversion_id = conversions.conversion_id

union all

select
    person_key,
    {{ hash_key(["'lost'", 'event_name', 'touch_id']) }} as path_id,
    event_name,
    path,
    {{ whole('touches') }} as touches,
    false as is_converted,
    cast(null as {{ money_type() }}) as revenue,
    {{ null_text() }} as currency,
    {{ local_date('ended_at') }} as path_date,
    cast(null as boolean) as lookback_complete
from lost

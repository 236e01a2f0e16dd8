{#
  The first or last touch of each person: a non-direct one where there is any, else a Direct one [2.6].
  `side` is `first` or `last`.
#}
{% macro person_touch(side) -%}
{%- set pick = 'min' if side == 'first' else 'max' -%}
with

numbers as (

    select
        person_key,
        coalesce(
            {{ pick }}(case when not is_direct then touch_number end),
            {{ pick }}(touch_number)
        ) as touch_number
    from {{ ref('int_touchpoints') }}
    group by person_key

)

select
    touches.person_key,
    touches.user_pseudo_id,
    touches.source,
    touches.medium,
    touches.campaign,
    touches.channel,
    {{ utc_timestamp('touches.touched_at') }} as touched_at,
    touches.session_key,
    touches.touch_id
from {{ ref('int_touchpoints') }} as touches
inner join numbers
    on touches.person_key = numbers.person_key and touches.touch_number = numbers.touch_number
{%- endmacro %}

{#
  The touches that no journey of a key event holds; `won_before` numbers the paths between touches that are won. Reads the CTE
  won_touches (person_key where a person is one device, event_name, touch_id), each touch once for a key event, and won_persons.
#}
{% macro lost_touches(name) -%}
select
            touches.person_key,
            touches.touch_id,
            touches.touch_number,
            touches.touched_at,
            touches.channel,
            0 as won_before
        from won_persons
        right join {{ ref('int_touchpoints') }} as touches
            on won_persons.person_key = touches.person_key
            and won_persons.event_name = '{{ name }}'
        where won_persons.person_key is null

        union all

        select person_key, touch_id, touch_number, touched_at, channel, won_before
        from (
            -- Partitioned by the persons' side: an engine that sorts below a join sorts few rows then.
            select
                touches.person_key,
                touches.touch_id,
                touches.touch_number,
                touches.touched_at,
                touches.channel,
                won_touches.touch_id is not null as is_won,
                count(won_touches.touch_id) over (
                    partition by won_persons.person_key order by touches.touch_number
                    rows between unbounded preceding and current row
                ) as won_before
            from won_persons
            inner join {{ ref('int_touchpoints') }} as touches on won_persons.person_key = touches.person_key
            left join won_touches
                on {% if is_one_device() | trim == 'yes' %}touches.person_key = won_touches.person_key
                and {% endif %}touches.touch_id = won_touches.touch_id
                and won_touches.event_name = '{{ name }}'
            where won_persons.event_name = '{{ name }}'
        ) as numbered
        where not is_won
{%- endmacro %}

{#
  Persons with a touch that is won, by key event: few, so that only their touches go through a window. Touches of one device may be
  won by a conversion on another [2.26].
#}
{% macro won_persons() -%}
{%- if is_one_device() | trim == 'yes' -%}
select distinct person_key, event_name from won_touches
{%- else -%}
select distinct touches.person_key, won_touches.event_name
    from won_touches
    inner join {{ ref('int_touchpoints') }} as touches on won_touches.touch_id = touches.touch_id
{%- endif -%}
{%- endmacro %}

{#
  All touches of all persons. `is_won`: a journey of the key event holds it; `won_before` numbers the paths between touches that
  are won. Reads the CTE won_touches (person_key where a person is one device, event_name, touch_id), each touch once for a key
  event: touches of one device may be won by a conversion on another [2.26].
#}
{% macro touches_by_won(name) -%}
select
            touches.person_key,
            touches.touch_id,
            touches.touch_number,
            touches.touched_at,
            touches.channel,
            won_touches.touch_id is not null as is_won,
            count(won_touches.touch_id) over (
                partition by touches.person_key order by touches.touch_number
                rows between unbounded preceding and current row
            ) as won_before
        from {{ ref('int_touchpoints') }} as touches
        left join won_touches
            on {% if is_one_device() | trim == 'yes' %}touches.person_key = won_touches.person_key
            and {% endif %}touches.touch_id = won_touches.touch_id
            and won_touches.event_name = '{{ name }}'
{%- endmacro %}

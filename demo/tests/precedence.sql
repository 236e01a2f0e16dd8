-- No touch may follow its conversion, nor precede its window [2.4, 2.14].
select
    journeys.conversion_id,
    journeys.touch_id,
    journeys.touched_at,
    conversions.converted_at
from {{ ref('int_journeys') }} as journeys
inner join {{ ref('int_conversions') }} as conversions
    on journeys.person_key = conversions.person_key and journeys.conversion_id = conversions.conversion_id
where journeys.touched_at > conversions.converted_at
    {%- if var('touch_grain') == 'click' %}
    or journeys.touched_at < conversions.converted_at - conversions.lookback_days * 86400000000
    {%- endif %}

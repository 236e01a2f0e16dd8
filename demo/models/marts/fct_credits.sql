{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{#- Read only where var `attribution_models` names them; said here, as they stand behind that condition. #}
{%- if not execute %}{{ ref('weights_markov') }} {{ ref('weights_shapley') }} {{ ref('fit_channel_weights') }}{% endif %}
{%- set attribution_models = var('attribution_models') %}
{%- set singles = ['first_touch', 'last_touch', 'first_click', 'last_click', 'last_paid'] %}
{%- set built_in = ['linear', 'time_decay', 'position_based', 'w_shaped'] %}
{%- set weighed = attribution_models | reject('in', singles) | list %}
{%- set own = weighed | reject('in', built_in) | list %}
{%- set fitted = own | select('in', ['markov', 'shapley']) | list %}
{%- set half_life = (var('half_life_days') * 86400) | int %}
{%- set u = var('position_weights') %}
{%- set w = var('w_weights') %}

with

refunds as (

    select person_key, conversion_id, max(refunded_to) as refunded_micros
    from {{ ref('int_refunds') }}
    where conversion_id is not null
    group by person_key, conversion_id

),

conversions as (

    select
        conversions.*,
        {{ to_micros('conversions.revenue') }} as revenue_micros,
        coalesce(refunds.refunded_micros, 0) as refunded_micros
    from {{ ref('int_conversions') }} as conversions
    left join refunds
        on conversions.person_key = refunds.person_key and conversions.conversion_id = refunds.conversion_id
    where conversions.is_counted

),

-- What the attribution models need to know of a whole journey. Direct counts in the touch models and is skipped by the
-- click models, which fall back to it [2.6].
journeys as (

    select
        journeys.person_key,
        journeys.conversion_id,
        journeys.touch_id,
        journeys.position,
        journeys.touches,
        journeys.source,
        journeys.medium,
        journeys.campaign,
        journeys.channel,
        min(case when not journeys.is_direct then journeys.position end) over journey as first_click_at,
        max(case when not journeys.is_direct then journeys.position end) over journey as last_click_at,
        max(case when journeys.channel in ({{ quoted(var('paid_channels')) }}) then journeys.position end)
            over journey as last_paid_at,
        max(case when journeys.is_before_milestone then journeys.position end) over journey as milestone_at,
        journeys.seconds_before - min(journeys.seconds_before) over journey as seconds_before_last
    from {{ ref('int_journeys') }} as journeys
    window journey as (partition by journeys.person_key, journeys.conversion_id)

),

-- Whole numbers, of which only the proportions within a journey count. Decay starts at the journey's last touch: that
-- changes no proportion, and keeps the weights of old journeys exact [2.28].
weights as (

    select
        journeys.*,
        coalesce(first_click_at, 1) as first_click,
        coalesce(last_click_at, journeys.touches) as last_click,
        coalesce(last_paid_at, last_click_at, journeys.touches) as last_paid
        {%- if 'linear' in weighed %},
        1 as weight_linear
        {%- endif %}
        {%- if 'time_decay' in weighed %},
        {{ halved(
            int_div('seconds_before_last', half_life),
            int_div(int_mod('seconds_before_last', half_life) ~ ' * 1000000000', half_life)
        ) }} as weight_time_decay
        {%- endif %}
        {%- if 'position_based' in weighed %},
        {{ part_weight(u.first, u.last, u.middle) }} as weight_position_based
        {%- endif %}
        {%- if 'w_shaped' in weighed %},
        {{ part_weight(w.first, w.last, w.other, w.milestone) }} as weight_w_shaped
        {%- endif %}
        {%- for name in own %},
        coalesce({{ name }}.own_weight, 0) as weight_{{ name }}
        {%- endfor %}
    from journeys
    {%- for name in own %}
    left join (
        select person_key as own_person, conversion_id as own_conversion, position as own_position, weight as own_weight
        from {{ ref('weights_' ~ name) }}
    ) as {{ name }}
        on journeys.person_key = {{ name }}.own_person
        and journeys.conversion_id = {{ name }}.own_conversion
        and journeys.position = {{ name }}.own_position
    {%- endfor %}

),

{%- set journey = 'partition by person_key, conversion_id' %}
{%- set so_far = 'order by position rows between unbounded preceding and current row' %}

sums as (

    select
        *
        {%- for name in weighed %},
        {{ whole('sum(weight_' ~ name ~ ') over (' ~ journey ~ ' ' ~ so_far ~ ')') }} as reached_{{ name }},
        {{ whole('sum(weight_' ~ name ~ ') over (' ~ journey ~ ')') }} as whole_{{ name }}
        {%- endfor %}
    from weights

),

-- A touch gets the millionths between the cut share of all touches before it and that of all touches up to it, so
-- that nothing is lost or invented. Weights that are all zero divide equally.
credits as (
    {% for name in attribution_models %}
    select
        person_key,
        conversion_id,
        touch_id,
        position,
        '{{ name }}' as attribution_model,
        {%- if name in singles %}
        0 as credit_from,
        1000000 as credit_to,
        {%- else %}
        {%- for bound, reached, place in [
            ('from', 'reached_' ~ name ~ ' - weight_' ~ name, 'position - 1'), ('to', 'reached_' ~ name, 'position')
        ] %}
        coalesce(
            {{ int_div('(' ~ reached ~ ') * 1000000', 'nullif(whole_' ~ name ~ ', 0)') }},
            {{ int_div('(' ~ place ~ ') * 1000000', 'touches') }}
        ) as credit_{{ bound }},
        {%- endfor %}
        {%- endif %}
        source,
        medium,
        campaign,
        channel
    from sums
    {%- if name == 'first_touch' %}
    where position = 1
    {%- elif name == 'last_touch' %}
    where position = touches
    {%- elif name in singles %}
    where position = {{ name }}
    {%- endif %}

    union all

    select
        person_key,
        conversion_id,
        {{ null_text() }} as touch_id,
        cast(null as bigint) as position,
        '{{ name }}' as attribution_model,
        0 as credit_from,
        1000000 as credit_to,
        source,
        medium,
        campaign,
        channel
    from {{ ref('int_untouched') }}
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
)
{%- if fitted %},

fits as (

    select distinct
        attribution_model,
        event_name
    from {{ ref('fit_channel_weights') }}
    where is_current

)
{%- endif %}

select
    credits.conversion_id,
    credits.touch_id,
    credits.attribution_model,
    credits.person_key,
    credits.position,
    {{ whole('credits.credit_to - credits.credit_from') }} as credit_micros,
    {{ from_micros(amount_between('conversions.revenue_micros', 'credits.credit_from', 'credits.credit_to')) }} as revenue,
    {{ from_micros(amount_between('conversions.refunded_micros', 'credits.credit_from', 'credits.credit_to')) }} as refunded,
    conversions.currency,
    conversions.conversion_date,
    conversions.event_name,
    credits.source,
    credits.medium,
    credits.campaign,
    credits.channel,
    conversions.lookback_complete
from credits
inner join conversions
    on credits.person_key = conversions.person_key and credits.conversion_id = conversions.conversion_id
{%- if fitted %}
-- An attribution model that was never fitted to a key event says nothing of it.
left join fits
    on credits.attribution_model = fits.attribution_model and conversions.event_name = fits.event_name
{%- endif %}
where credits.credit_to > credits.credit_from
{%- if fitted %}
    and (credits.attribution_model not in ({{ quoted(fitted) }}) or fits.event_name is not null)
{%- endif %}

{# Weights of a fitted attribution model for each touch of each journey whose key event has a fit: the weight of the
   touch's channel, in equal parts to its touches in the journey, so that repeats of a channel gain it nothing [2.29].
   Whole numbers; a channel that the fit has not seen weighs nothing. #}
{% macro fitted_weights(attribution_model) %}
with

fit as (

    select event_name, channel, credit_weight
    from {{ ref('fit_channel_weights') }}
    where is_current and attribution_model = '{{ attribution_model }}'

),

fitted as (

    select distinct event_name from fit

),

touches as (

    select
        journeys.person_key,
        journeys.conversion_id,
        journeys.position,
        journeys.channel,
        conversions.event_name,
        count(*) over (
            partition by journeys.person_key, journeys.conversion_id, journeys.channel
        ) as touches_of_channel
    from {{ ref('int_journeys') }} as journeys
    inner join {{ ref('int_conversions') }} as conversions
        on journeys.person_key = conversions.person_key and journeys.conversion_id = conversions.conversion_id

)

select
    touches.person_key,
    touches.conversion_id,
    touches.position,
    cast({{ int_div('coalesce(fit.credit_weight, 0) * 1000', 'touches.touches_of_channel') }} as bigint) as weight
from touches
inner join fitted on touches.event_name = fitted.event_name
left join fit on touches.event_name = fit.event_name and touches.channel = fit.channel
{% endmacro %}

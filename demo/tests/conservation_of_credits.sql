-- Every enabled attribution model gives each counted conversion exactly one million micro-credits [2.11]; a fitted one
-- those of the key events that it was fitted to.
{%- set fitted = var('attribution_models') | select('in', ['markov', 'shapley']) | list %}
with

attribution_models as (

    {%- for name in var('attribution_models') %}
    select '{{ name }}' as attribution_model
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

expected as (

    select conversions.person_key, conversions.conversion_id, attribution_models.attribution_model
    from {{ ref('int_conversions') }} as conversions
    cross join attribution_models
    {%- if fitted %}
    left join (
        select distinct attribution_model, event_name from {{ ref('fit_channel_weights') }} where is_current
    ) as fits
        on attribution_models.attribution_model = fits.attribution_model and conversions.event_name = fits.event_name
    {%- endif %}
    where conversions.is_counted
    {%- if fitted %}
        and (attribution_models.attribution_model not in ({{ quoted(fitted) }}) or fits.event_name is not null)
    {%- endif %}

),

given as (

    select person_key, conversion_id, attribution_model, sum(credit_micros) as credit_micros
    from {{ ref('fct_credits') }}
    group by person_key, conversion_id, attribution_model

)

select
    coalesce(expected.conversion_id, given.conversion_id) as conversion_id,
    coalesce(expected.attribution_model, given.attribution_model) as attribution_model,
    given.credit_micros
from expected
full outer join given
    on expected.person_key = given.person_key
    and expected.conversion_id = given.conversion_id
    and expected.attribution_model = given.attribution_model
where coalesce(given.credit_micros, 0) <> 1000000 or expected.conversion_id is null

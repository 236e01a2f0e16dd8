-- Every attribution model gives each counted conversion exactly one million micro-credits [2.11].
with

attribution_models as (

    select distinct attribution_model from {{ ref('fct_credits') }}

),

expected as (

    select conversions.person_key, conversions.conversion_id, attribution_models.attribution_model
    from {{ ref('int_conversions') }} as conversions
    cross join attribution_models
    where conversions.is_counted

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

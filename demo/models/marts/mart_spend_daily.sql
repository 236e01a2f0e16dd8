{{ config(materialized='table') }}

with

-- Ads are known by lower-case names; a display name in another case is the same campaign [2.10].
credits as (

    select
        conversion_date as date,
        attribution_model,
        event_name,
        lower(source) as source,
        lower(medium) as medium,
        lower(campaign) as campaign,
        currency,
        min(channel) as channel,
        sum(credit_micros) as credit_micros,
        sum(revenue) as revenue,
        sum(refunded) as refunded
    from {{ ref('fct_credits') }}
    group by conversion_date, attribution_model, event_name, lower(source), lower(medium), lower(campaign), currency

),

-- Spend says nothing of attribution models and key events: each of them is held against all of it [2.30].
spend as (

    select int_spend.*, kinds.attribution_model, kinds.event_name
    from {{ ref('int_spend') }} as int_spend
    cross join (
        {%- for model in var('attribution_models') %}
        {%- set last_model = loop.last %}
        {%- for event in var('key_events') + (var('own_key_events') | list) %}
        select '{{ model }}' as attribution_model, '{{ event }}' as event_name
        {%- if not (loop.last and last_model) %}
        union all
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
    ) as kinds

)

select
    coalesce(credits.date, spend.date) as date,
    coalesce(credits.attribution_model, spend.attribution_model) as attribution_model,
    coalesce(credits.event_name, spend.event_name) as event_name,
    coalesce(credits.channel, spend.channel) as channel,
    coalesce(credits.source, spend.source) as source,
    coalesce(credits.medium, spend.medium) as medium,
    coalesce(credits.campaign, spend.campaign) as campaign,
    coalesce(credits.currency, spend.currency) as currency,
    {{ amount('coalesce(spend.cost, 0)') }} as cost,
    coalesce(spend.clicks, 0) as clicks,
    coalesce(spend.impressions, 0) as impressions,
    {{ from_micros('coalesce(credits.credit_micros, 0)') }} as conversions,
    {{ amount('coalesce(credits.revenue, 0)') }} as revenue,
    {{ amount('coalesce(credits.refunded, 0)') }} as refunded
from credits
full outer join spend
    on credits.date = spend.date
    and credits.attribution_model = spend.attribution_model
    and credits.event_name = spend.event_name
    and credits.source = spend.source
    and credits.medium = spend.medium
    and credits.campaign = spend.campaign
    and coalesce(credits.currency, '-') = coalesce(spend.currency, '-')

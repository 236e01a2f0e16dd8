{{ config(materialized='table') }}

with

rows_given as (

    select
        date,
        {%- for name in ['source', 'medium', 'campaign'] %}
        lower(coalesce({{ usable(name) }}, '(not set)')) as {{ name }},
        {%- endfor %}
        cost,
        upper({{ usable('currency') }}) as currency,
        clicks,
        impressions
    from {{ ref('ad_spend') }}

),

daily as (

    select
        date,
        source,
        medium,
        campaign,
        currency,
        {{ amount('sum(cost)') }} as cost,
        {{ whole('sum(clicks)') }} as clicks,
        {{ whole('sum(impressions)') }} as impressions,
        {{ local_midnight_micros('date') }} as spent_at
    from rows_given
    group by date, source, medium, campaign, currency

),

{{ channel_ctes('daily', ['date', 'source', 'medium', 'campaign'], 'spent_at') }}

select date, channel, channel_rule, source, medium, campaign, currency, cost, clicks, impressions
from classified

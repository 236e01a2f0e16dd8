{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{%- set attribution_models = ['first_touch', 'last_touch', 'first_click', 'last_click'] %}

with

conversions as (

    select * from {{ ref('int_conversions') }} where is_counted

),

-- Direct counts in the touch models and is skipped by the click models, which fall back to it [2.6].
picks as (

    select
        person_key,
        conversion_id,
        min(position) as first_touch,
        max(position) as last_touch,
        coalesce(min(case when not is_direct then position end), min(position)) as first_click,
        coalesce(max(case when not is_direct then position end), max(position)) as last_click
    from {{ ref('int_journeys') }}
    group by person_key, conversion_id

),

credited as (
    {% for name in attribution_models %}
    select
        journeys.person_key,
        journeys.conversion_id,
        journeys.touch_id,
        '{{ name }}' as attribution_model,
        journeys.source,
        journeys.medium,
        journeys.campaign,
        journeys.channel
    from {{ ref('int_journeys') }} as journeys
    inner join picks
        on journeys.person_key = picks.person_key
        and journeys.conversion_id = picks.conversion_id
        and journeys.position = picks.{{ name }}
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
),

-- No touch: own evidence of an event without a user [2.24], else Direct when there is a session [2.11].
alone as (

    select
        conversions.person_key,
        conversions.conversion_id,
        case
            when conversions.user_pseudo_id is null and conversions.evidence_class is not null then 'evidence'
            when conversions.session_key is not null then 'direct'
            else 'nothing'
        end as reason,
        conversions.source,
        conversions.medium,
        conversions.campaign
    from conversions
    left join picks
        on conversions.person_key = picks.person_key and conversions.conversion_id = picks.conversion_id
    where picks.conversion_id is null

),

named as (

    select
        person_key,
        conversion_id,
        reason,
        {%- for name, direct in [('source', '(direct)'), ('medium', '(none)'), ('campaign', '(direct)')] %}
        case reason
            when 'evidence' then coalesce({{ name }}, '(not set)')
            when 'direct' then '{{ direct }}'
            else '(not set)'
        end as {{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from alone

),

uncredited as (

    select
        named.*,
        case
            when named.reason = 'nothing' then '(no touch)'
            else {{ channel('named.source', 'named.medium', 'named.campaign', 'categories.category') }}
        end as channel
    from named
    left join {{ ref('source_categories') }} as categories on lower(named.source) = categories.source

),

credits as (

    select * from credited
    {% for name in attribution_models %}
    union all

    select
        person_key,
        conversion_id,
        {{ null_text() }} as touch_id,
        '{{ name }}' as attribution_model,
        source,
        medium,
        campaign,
        channel
    from uncredited
    {% endfor %}
)

select
    credits.conversion_id,
    credits.touch_id,
    credits.attribution_model,
    credits.person_key,
    cast(1000000 as bigint) as credit_micros,
    conversions.revenue,
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

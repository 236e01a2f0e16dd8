{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{%- set excluded = var('excluded_channels') %}
{#- Read only where channels are left out; said here, as they stand behind that condition. #}
{%- if not execute %}{{ ref('int_event_sessions') }} {{ ref('int_sessions') }}{% endif %}
{%- set by_session = var('touch_grain') == 'session' %}

with

{% if excluded -%}
{{ touch_ctes() }},

{% endif -%}
touched as (

    select distinct person_key, conversion_id from {{ ref('int_journeys') }}

),

alone as (

    select conversions.*
    from {{ ref('int_conversions') }} as conversions
    left join touched
        on conversions.person_key = touched.person_key and conversions.conversion_id = touched.conversion_id
    where conversions.is_counted and touched.conversion_id is null

),
{%- if excluded %}

{%- if by_session %}

-- What their sessions had shown by then [2.4].
shown as (

    with

    conversions as (

        select * from alone

    ),

    journeys as (

        select
            alone.person_key,
            alone.conversion_id,
            alone.session_key,
            touches.event_timestamp as touched_at
        from alone
        inner join touches on alone.person_key = touches.person_key and alone.session_key = touches.session_key

    ),

    {{ as_of_conversion_ctes() }}

    select person_key, conversion_id, is_direct from classified

),
{%- endif %}

-- A visit that came by a channel which is left out is not Direct for that [2.6, 2.11].
left_out as (

    select distinct alone.person_key, alone.conversion_id
    from alone
    inner join touches on alone.person_key = touches.person_key and alone.session_key = touches.session_key
    {%- if by_session %}
    left join shown on alone.person_key = shown.person_key and alone.conversion_id = shown.conversion_id
    where not coalesce(shown.is_direct, touches.is_direct)
    {%- else %}
    where not touches.is_direct
        and touches.event_timestamp >= alone.converted_at - alone.lookback_days * 86400000000
        and {{ not_after('touches', 'event_timestamp', 'alone', 'converted_at') }}
        {%- endif %}

),
{%- endif %}

-- No touch: own evidence of an event without a user [2.24], else Direct when there is a session without evidence [2.11].
reasoned as (

    select
        alone.*,
        case
            when alone.user_pseudo_id is null and alone.evidence_class is not null then 'evidence'
            {%- if excluded %}
            when left_out.conversion_id is not null then 'excluded'
            {%- endif %}
            when alone.session_key is not null then 'session'
            when alone.user_pseudo_id is null then 'no_consent'
            else 'nothing'
        end as reason
    from alone
    {%- if excluded %}
    left join left_out
        on alone.person_key = left_out.person_key and alone.conversion_id = left_out.conversion_id
    {%- endif %}

),

named as (

    select
        person_key,
        conversion_id,
        converted_at,
        reason,
        {%- for name, direct in [('source', '(direct)'), ('medium', '(none)'), ('campaign', '(direct)')] %}
        case reason
            when 'evidence' then coalesce({{ name }}, '(not set)')
            when 'session' then '{{ direct }}'
            else '(not set)'
        end as {{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from reasoned

),

{{ channel_ctes('named', ['person_key', 'conversion_id'], 'converted_at') }}

select
    person_key,
    conversion_id,
    reason,
    source,
    medium,
    campaign,
    case when reason in ('no_consent', 'nothing', 'excluded') then '(no touch)' else channel end as channel
from classified

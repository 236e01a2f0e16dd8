{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

with

touched as (

    select distinct person_key, conversion_id from {{ ref('int_journeys') }}

),

-- No touch: own evidence of an event without a user [2.24], else Direct when there is a session [2.11].
alone as (

    select
        conversions.*,
        case
            when conversions.user_pseudo_id is null and conversions.evidence_class is not null then 'evidence'
            when conversions.session_key is not null then 'session'
            when conversions.user_pseudo_id is null then 'no_consent'
            else 'nothing'
        end as reason
    from {{ ref('int_conversions') }} as conversions
    left join touched
        on conversions.person_key = touched.person_key and conversions.conversion_id = touched.conversion_id
    where conversions.is_counted and touched.conversion_id is null

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
    from alone

),

{{ channel_ctes('named', ['person_key', 'conversion_id'], 'converted_at') }}

select
    person_key,
    conversion_id,
    reason,
    source,
    medium,
    campaign,
    case when reason in ('no_consent', 'nothing') then '(no touch)' else channel end as channel
from classified

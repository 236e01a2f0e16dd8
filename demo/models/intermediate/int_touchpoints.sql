{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{#- Read at click grain only; said here, as it stands behind that condition. #}
{%- if not execute %}{{ ref('int_event_sessions') }}{% endif %}

with

{{ touch_ctes() }},

{{ channel_ctes('touches', ['person_key', 'session_key', 'event_key'], 'event_timestamp') }}

select
    {{ hash_key(['session_key', 'event_key']) }} as touch_id,
    person_key,
    person_key as user_pseudo_id,
    session_key,
    event_timestamp as touched_at,
    batch_page_id,
    batch_ordering_id,
    batch_event_index,
    event_key,
    evidence_event_key,
    source,
    medium,
    campaign,
    click_id,
    channel,
    channel_rule,
    is_direct,
    evidence_class,
    cast(row_number() over (partition by person_key order by {{ total_order() }}) as bigint) as touch_number
from classified
{%- if var('excluded_channels') %}
-- Touches may be left out, conversions never [2.6].
where channel not in ({{ quoted(var('excluded_channels')) }})
{%- endif %}

{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{#- Read at click grain only; said here, as it stands behind that condition. #}
{%- if not execute %}{{ ref('int_event_sessions') }}{% endif %}

{{ touchpoint_rows(var('excluded_channels')) }}

{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{%- set is_order = "events.event_name = 'purchase' and events.transaction_id is not null" %}

with

events as (

    select
        *,
        cast({{ lookback_days('event_name') }} as bigint) as lookback_days
    from {{ ref('int_event_sessions') }}
    where event_name in ({{ quoted(var('key_events')) }})

),

flagged as (

    select
        events.*,
        {%- if var('order_dedupe_scope') == 'property' %}
        coalesce(firsts.event_key <> events.event_key, false) as is_duplicate,
        {%- else %}
        {{ is_order }} and row_number() over (
            partition by events.person_key, events.event_name, events.transaction_id order by {{ total_order('events') }}
        ) > 1 as is_duplicate,
        {%- endif %}
        events.event_name = 'purchase' and events.transaction_id is null and coalesce(events.revenue, 0) = 0
            as is_zero_value_without_id
    from events
    {%- if var('order_dedupe_scope') == 'property' %}
    left join {{ ref('int_order_first') }} as firsts
        on events.transaction_id = firsts.transaction_id and events.event_name = 'purchase'
    {%- endif %}

)

select
    {{ hash_key(['flagged.event_name', 'flagged.event_key']) }} as conversion_id,
    flagged.person_key,
    flagged.user_pseudo_id,
    flagged.session_key,
    flagged.event_name,
    flagged.event_key,
    flagged.event_timestamp as converted_at,
    flagged.batch_page_id,
    flagged.batch_ordering_id,
    flagged.batch_event_index,
    {{ local_date('flagged.event_timestamp') }} as conversion_date,
    flagged.transaction_id,
    flagged.revenue,
    flagged.currency,
    flagged.is_duplicate,
    flagged.is_zero_value_without_id,
    flagged.lookback_days,
    flagged.event_timestamp - flagged.lookback_days * 86400000000 >= loaded_days.first_day_starts_at
        as lookback_complete,
    not flagged.is_duplicate and not flagged.is_zero_value_without_id as is_counted,
    flagged.evidence_class,
    flagged.source,
    flagged.medium,
    flagged.campaign
from flagged
cross join {{ ref('int_loaded_days') }} as loaded_days

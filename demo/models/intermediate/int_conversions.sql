{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}
-- depends_on: {{ ref('stg_exchange_rates') }}

{%- set is_order = "events.event_name = 'purchase' and events.transaction_id is not null" %}
{%- set own_key_events = var('own_key_events') %}
{%- set reporting_currency = var('reporting_currency') | upper %}
{%- set once_per_session = var('once_per_session') %}

with

events as (

    select
        *,
        event_name as key_event,
        cast({{ lookback_days('event_name') }} as bigint) as lookback_days
    from {{ ref('int_event_sessions') }}
    where event_name in ({{ quoted(var('key_events')) }})
    {%- for name in own_key_events %}

    union all

    select
        *,
        '{{ name }}' as key_event,
        cast({{ lookback_days("'" ~ name ~ "'") }} as bigint) as lookback_days
    from {{ ref('int_event_sessions') }}
    where {{ own_key_events[name] }}
    {%- endfor %}

),

flagged as (

    select
        events.*,
        {%- if var('order_dedupe_scope') == 'property' %}
        coalesce(firsts.event_key <> events.event_key, false) as is_duplicate,
        {%- else %}
        {{ is_order }} and row_number() over (
            partition by events.person_key, events.key_event, events.transaction_id order by {{ total_order('events') }}
        ) > 1 as is_duplicate,
        {%- endif %}
        events.event_name = 'purchase' and events.transaction_id is null and coalesce(events.revenue, 0) = 0
            as is_zero_value_without_id
    from events
    {%- if var('order_dedupe_scope') == 'property' %}
    left join {{ ref('int_order_first') }} as firsts
        on events.transaction_id = firsts.transaction_id and events.event_name = 'purchase'
    {%- endif %}

),

{%- if once_per_session %}

-- The first that would count in its session [2.13].
repeated as (

    select
        flagged.*,
        flagged.session_key is not null
        and flagged.key_event in ({{ quoted(once_per_session) }})
        and row_number() over (
            partition by
                flagged.person_key, flagged.key_event, flagged.session_key,
                flagged.is_duplicate or flagged.is_zero_value_without_id
            order by {{ total_order('flagged') }}
        ) > 1 as is_repeat_in_session
    from flagged

)
{%- else %}

repeated as (

    select flagged.*, false as is_repeat_in_session from flagged

)
{%- endif %}

select
    {{ hash_key(['flagged.key_event', 'flagged.event_key']) }} as conversion_id,
    flagged.person_key,
    flagged.user_pseudo_id,
    flagged.session_key,
    flagged.key_event as event_name,
    flagged.event_key,
    flagged.event_timestamp as converted_at,
    flagged.batch_page_id,
    flagged.batch_ordering_id,
    flagged.batch_event_index,
    {{ local_date('flagged.event_timestamp') }} as conversion_date,
    flagged.transaction_id,
    {%- if reporting_currency %}
    case
        when flagged.currency = '{{ reporting_currency }}' or rates.rate is null then flagged.revenue
        else {{ exchanged('flagged.revenue', 'rates.rate') }}
    end as revenue,
    case when rates.rate is not null then '{{ reporting_currency }}' else flagged.currency end as currency,
    {%- else %}
    flagged.revenue,
    flagged.currency,
    {%- endif %}
    flagged.revenue as transaction_revenue,
    flagged.currency as transaction_currency,
    flagged.is_duplicate,
    flagged.is_zero_value_without_id,
    flagged.is_repeat_in_session,
    flagged.lookback_days,
    flagged.event_timestamp - flagged.lookback_days * 86400000000 >= loaded_days.first_day_starts_at
        as lookback_complete,
    not flagged.is_duplicate and not flagged.is_zero_value_without_id and not flagged.is_repeat_in_session
        as is_counted,
    flagged.evidence_class,
    flagged.source,
    flagged.medium,
    flagged.campaign
from repeated as flagged
cross join {{ ref('int_loaded_days') }} as loaded_days
{%- if reporting_currency %}
left join {{ ref('stg_exchange_rates') }} as rates
    on flagged.currency = rates.currency
    and {{ local_date('flagged.event_timestamp') }} >= rates.valid_from
    and ({{ local_date('flagged.event_timestamp') }} < rates.valid_before or rates.valid_before is null)
{%- endif %}

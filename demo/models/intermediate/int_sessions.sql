{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{%- set has_params = says_anything('param') %}
{%- set has_last_click = says_anything('last_click') %}

{%- set order = total_order() %}

with

events as (

    select
        *,
        event_name = 'page_view' as is_page_view,
        case when event_name = 'page_view' then 1 else 0 end as page_view,
        {{ has_params }} as has_params
    from {{ ref('int_event_sessions') }}
    where session_key is not null

),

{%- set firsts = {
    'started_at': 'true', 'location_at': 'page_location is not null', 'page_view_at': 'is_page_view',
    'param_at': 'is_page_view or has_params', 'last_click_at': has_last_click
} %}

spans as (

    select
        person_key,
        session_key,
        min(stream_id) as stream_id,
        min(session_id) as ga_session_id,
        max(case when is_derived then 1 else 0 end) as derived,
        min(event_timestamp) as session_started_at,
        max(event_timestamp) as session_ended_at,
        count(*) as events,
        sum(page_view) as page_views,
        max(case when is_session_engaged then 1 else 0 end) as engaged,
        min(ga_session_number) as session_number,
        {%- for name, rows in firsts.items() %}
        min(case when {{ rows }} then event_timestamp end) as {{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from events
    group by person_key, session_key

),

-- The few rows among which the total order decides [2.5]; each carries the totals of its session.
first_events as (

    select
        events.*,
        spans.ga_session_id as span_session_id,
        spans.derived,
        spans.session_started_at,
        spans.session_ended_at,
        spans.events,
        spans.page_views,
        spans.engaged,
        spans.session_number
        {%- for name in firsts %},
        spans.{{ name }}
        {%- endfor %}
    from spans
    inner join events on spans.person_key = events.person_key and spans.session_key = events.session_key
    where events.event_timestamp in ({% for name in firsts %}spans.{{ name }}{% if not loop.last %}, {% endif %}{% endfor %})

),

{%- set at_start = 'event_timestamp = started_at' %}
{%- set at_location = 'page_location is not null and event_timestamp = location_at' %}
{%- set at_click = has_last_click ~ ' and event_timestamp = last_click_at' %}
{%- set at_page = 'is_page_view and event_timestamp = page_view_at' %}
{%- set at_param = '(is_page_view or has_params) and event_timestamp = param_at' %}

-- Which event is the first of each kind, by the total order.
winners as (

    select
        person_key,
        session_key,
        {{ first_by('event_key', order, at_start) }} as start_key,
        -- Which of the events of one moment names the referrer is up to GA4 [2.8].
        min(case when {{ at_start }} then referrer_dropped end) as first_referrer_dropped,
        {{ first_by('event_key', order, at_location) }} as location_key,
        {{ first_by('event_key', order, at_click) }} as click_key,
        {{ first_by('event_key', order, at_page) }} as page_key,
        {{ first_by('event_key', order, at_param) }} as param_key
    from first_events
    group by person_key, session_key

),

-- What those events say; each key picks the values of one event.
sessions as (

    select
        winners.person_key,
        winners.session_key,
        min(first_events.stream_id) as stream_id,
        min(first_events.span_session_id) as ga_session_id,
        max(first_events.derived) = 1 as is_derived,
        min(first_events.session_started_at) as session_started_at,
        max(first_events.session_ended_at) as session_ended_at,
        max(first_events.events) as events,
        cast(max(first_events.page_views) as bigint) as page_views,
        max(first_events.engaged) = 1 as is_engaged,
        min(first_events.session_number) as session_number,
        max(case when first_events.event_key = winners.location_key then first_events.page_location end)
            as landing_page,
        {%- for name in ['batch_page_id', 'batch_ordering_id', 'batch_event_index'] %}
        max(case when first_events.event_key = winners.start_key then first_events.{{ name }} end) as first_{{ name }},
        {%- endfor %}
        max(winners.start_key) as first_event_key,
        {%- for key in ['click', 'page', 'param'] %}
        max(winners.{{ key }}_key) as {{ key }}_key,
        {%- endfor %}
        max(winners.first_referrer_dropped) as first_referrer_dropped,
        {%- for name in ['source', 'medium', 'campaign'] %}
        {%- for record, key in {'first_user_': 'start', 'last_click_': 'click'}.items() %}
        max(case when first_events.event_key = winners.{{ key }}_key then first_events.{{ record }}{{ name }} end)
            as {{ record }}{{ name }},
        {%- endfor %}
        {%- for key in ['page', 'param'] %}
        max(case when first_events.event_key = winners.{{ key }}_key then first_events.param_{{ name }} end)
            as {{ key }}_{{ name }},
        {%- endfor %}
        {%- endfor %}
        max(case when first_events.event_key = winners.param_key then first_events.page_view end) as is_param_on_page
    from winners
    inner join first_events
        on winners.person_key = first_events.person_key and winners.session_key = first_events.session_key
    where first_events.event_key in (
        winners.start_key, winners.location_key, winners.click_key, winners.page_key, winners.param_key
    )
    group by winners.person_key, winners.session_key

),

-- Section 3 of the semantics: one record, never mixed. The first event with params counts when it is the first
-- page_view, or precedes it, or there is no page_view; a source first seen later is ignored.
decided as (

    select
        *,
        case
            when {{ has_last_click }} then 'last_click'
            when {{ says_anything('page') }} then 'page'
            when is_param_on_page = 0 then 'param'
            when session_number = 1 then 'first_user'
        end as source_record
    from sessions

)

select
    session_key,
    person_key,
    person_key as user_pseudo_id,
    stream_id,
    ga_session_id,
    is_derived,
    session_started_at,
    session_ended_at,
    {{ local_date('session_started_at') }} as session_date,
    events,
    page_views,
    is_engaged,
    landing_page,
    session_number,
    {%- for name in ['source', 'medium', 'campaign'] %}
    {%- set record %}case source_record
        when 'last_click' then last_click_{{ name }}
        when 'page' then page_{{ name }}
        when 'param' then param_{{ name }}
        when 'first_user' then first_user_{{ name }}
    end{%- endset %}
    coalesce({{ usable(record) }}, '(not set)') as {{ name }},
    {%- endfor %}
    source_record,
    case source_record
        when 'last_click' then click_key
        when 'page' then page_key
        when 'param' then param_key
        when 'first_user' then first_event_key
    end as source_event_key,
    first_batch_page_id,
    first_batch_ordering_id,
    first_batch_event_index,
    first_event_key,
    first_referrer_dropped
from decided

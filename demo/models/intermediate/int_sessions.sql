{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{%- set has_params = "coalesce(param_source, param_medium, param_campaign) is not null" %}
{%- set has_last_click = "coalesce(last_click_source, last_click_medium, last_click_campaign) is not null" %}

with

events as (

    select
        *,
        event_name = 'page_view' as is_page_view
    from {{ ref('int_event_sessions') }}
    where session_key is not null

),

sessions as (

    select
        person_key,
        session_key,
        min(stream_id) as stream_id,
        min(session_id) as ga_session_id,
        max(case when is_derived then 1 else 0 end) = 1 as is_derived,
        min(event_timestamp) as session_started_at,
        max(event_timestamp) as session_ended_at,
        count(*) as events,
        sum(case when is_page_view then 1 else 0 end) as page_views,
        max(case when is_session_engaged then 1 else 0 end) = 1 as is_engaged,
        min(ga_session_number) as session_number,
        min(case when is_page_view then event_timestamp end) as first_page_view_at,
        min(case when is_page_view or {{ has_params }} then event_timestamp end) as first_param_at,
        min(case when page_location is not null then event_timestamp end) as first_location_at,
        min(case when {{ has_last_click }} then event_timestamp end) as first_last_click_at
    from events
    group by person_key, session_key

),

-- The few rows among which the total order decides [2.5].
first_events as (

    select
        events.*,
        sessions.session_started_at,
        sessions.first_page_view_at,
        sessions.first_param_at,
        sessions.first_location_at,
        sessions.first_last_click_at
    from events
    inner join sessions on events.person_key = sessions.person_key and events.session_key = sessions.session_key
    where events.event_timestamp in (
        sessions.session_started_at, sessions.first_page_view_at, sessions.first_param_at,
        sessions.first_location_at, sessions.first_last_click_at
    )

),

numbered as (

    select
        *,
        row_number() over (partition by person_key, session_key order by {{ total_order() }}) as event_number
    from first_events

),

numbers as (

    select
        person_key,
        session_key,
        min(case when is_page_view and event_timestamp = first_page_view_at then event_number end) as page_number,
        min(case when (is_page_view or {{ has_params }}) and event_timestamp = first_param_at then event_number end)
            as param_number,
        min(case when page_location is not null and event_timestamp = first_location_at then event_number end)
            as location_number,
        min(case when {{ has_last_click }} and event_timestamp = first_last_click_at then event_number end)
            as last_click_number
    from numbered
    group by person_key, session_key

),

entries as (

    select
        numbered.person_key,
        numbered.session_key,
        {%- for name in ['batch_page_id', 'batch_ordering_id', 'batch_event_index', 'event_key'] %}
        max(case when event_number = 1 then {{ name }} end) as first_{{ name }},
        {%- endfor %}
        max(case when event_number = location_number then page_location end) as landing_page,
        {%- for name in ['source', 'medium', 'campaign'] %}
        max(case when event_number = last_click_number then last_click_{{ name }} end) as last_click_{{ name }},
        max(case when event_number = page_number then param_{{ name }} end) as page_{{ name }},
        max(case when event_number = param_number then param_{{ name }} end) as param_{{ name }},
        max(case when event_number = 1 then first_user_{{ name }} end) as first_user_{{ name }},
        {%- endfor %}
        max(case when event_number = param_number and not is_page_view then 1 else 0 end) = 1 as is_param_off_page
    from numbered
    inner join numbers
        on numbered.person_key = numbers.person_key and numbered.session_key = numbers.session_key
    group by numbered.person_key, numbered.session_key

),

-- Section 3 of the semantics: one record, never mixed. The first event with params counts when it is the first
-- page_view, or precedes it, or there is no page_view; a source first seen later is ignored.
decided as (

    select
        sessions.*,
        entries.first_batch_page_id,
        entries.first_batch_ordering_id,
        entries.first_batch_event_index,
        entries.first_event_key,
        entries.landing_page,
        case
            when coalesce(entries.last_click_source, entries.last_click_medium, entries.last_click_campaign)
                is not null then 'last_click'
            when coalesce(entries.page_source, entries.page_medium, entries.page_campaign) is not null then 'page'
            when entries.is_param_off_page then 'param'
            when sessions.session_number = 1 then 'first_user'
        end as source_record,
        {%- for name in ['source', 'medium', 'campaign'] %}
        entries.last_click_{{ name }},
        entries.page_{{ name }},
        entries.param_{{ name }},
        entries.first_user_{{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from sessions
    inner join entries on sessions.person_key = entries.person_key and sessions.session_key = entries.session_key

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
    coalesce(nullif(trim(case source_record
        when 'last_click' then last_click_{{ name }}
        when 'page' then page_{{ name }}
        when 'param' then param_{{ name }}
        when 'first_user' then first_user_{{ name }}
    end), ''), '(not set)') as {{ name }},
    {%- endfor %}
    source_record,
    first_batch_page_id,
    first_batch_ordering_id,
    first_batch_event_index,
    first_event_key
from decided

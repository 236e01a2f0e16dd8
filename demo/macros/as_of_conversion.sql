{#
  Session grain: common table expressions that end in `classified`, the sources of sessions in the journeys of conversions which
  came before the page that named the session. They are what the session had shown by then [2.4]: section 3 of the semantics over
  its events up to the conversion. `journeys` and `conversions` stand before them.
#}
{% macro as_of_conversion_ctes() -%}
{#- A journey may hold sessions of other devices, where a person has several [2.26]. -#}
{%- set by_device = is_one_device() | trim == 'yes' -%}
late as (

    select distinct
        conversions.person_key,
        conversions.conversion_id,
        conversions.converted_at,
        conversions.batch_page_id,
        conversions.batch_ordering_id,
        conversions.batch_event_index,
        conversions.event_key,
        journeys.session_key,
        journeys.touched_at
    from journeys
    inner join conversions
        on journeys.person_key = conversions.person_key and journeys.conversion_id = conversions.conversion_id
    inner join {{ ref('int_sessions') }} as sessions
        on {% if by_device %}journeys.person_key = sessions.person_key and {% endif %}journeys.session_key = sessions.session_key
    inner join {{ ref('int_event_sessions') }} as named
        on sessions.person_key = named.person_key
        and sessions.session_key = named.session_key
        and sessions.source_event_key = named.event_key
    -- As at click grain, evidence stands at the first event of its page: a landing page that converts has shown it [2.5].
    left join {{ ref('int_event_sessions') }} as page
        on named.person_key = page.person_key
        and named.session_key = page.session_key
        and named.batch_page_id = page.batch_page_id
        and (
            page.batch_page_id <> 0
            or page.event_timestamp = named.event_timestamp
            and coalesce(page.page_location, '') = coalesce(named.page_location, '')
        )
        and {{ not_after('page', 'event_timestamp', 'conversions', 'converted_at') }}
    where page.event_key is null

),

seen as (

    select
        late.conversion_id,
        late.touched_at,
        late.person_key,
        events.session_key,
        {{ total_order('events') }},
        events.ga_session_number,
        events.event_name = 'page_view' as is_page_view,
        {%- for name in ['source', 'medium', 'campaign'] %}
        {{ usable('events.param_' ~ name) }} as param_{{ name }},
        {{ usable('events.first_user_' ~ name) }} as first_user_{{ name }},
        {%- endfor %}
        {{ says_anything('events.param') }} as has_params
    from late
    inner join {{ ref('int_event_sessions') }} as events
        on {% if by_device %}late.person_key = events.person_key and {% endif %}late.session_key = events.session_key
    where {{ not_after('events', 'event_timestamp', 'late', 'converted_at') }}

),

seen_firsts as (

    select
        person_key,
        conversion_id,
        session_key,
        min(ga_session_number) as session_number,
        {{ first_by('event_key', total_order()) }} as start_key,
        {{ first_by('event_key', total_order(), 'is_page_view') }} as page_key,
        {{ first_by('event_key', total_order(), 'is_page_view or has_params') }} as param_key
    from seen
    group by person_key, conversion_id, session_key

),

seen_records as (

    select
        firsts.person_key,
        firsts.conversion_id,
        firsts.session_key,
        min(seen.touched_at) as touched_at,
        min(firsts.session_number) as session_number,
        {%- set on_page = 'seen.event_key = firsts.page_key and seen.is_page_view and seen.has_params' %}
        {%- set before = 'seen.event_key = firsts.param_key and seen.has_params and not seen.is_page_view' %}
        max(case when {{ on_page }} then 1 else 0 end) as is_on_page,
        max(case when {{ before }} then 1 else 0 end) as is_before
        {%- for name in ['source', 'medium', 'campaign'] %},
        max(case when {{ on_page }} then seen.param_{{ name }} end) as page_{{ name }},
        max(case when {{ before }} then seen.param_{{ name }} end) as before_{{ name }},
        max(case when seen.event_key = firsts.start_key then seen.first_user_{{ name }} end) as first_user_{{ name }}
        {%- endfor %}
    from seen_firsts as firsts
    inner join seen
        on firsts.person_key = seen.person_key
        and firsts.conversion_id = seen.conversion_id
        and firsts.session_key = seen.session_key
    group by firsts.person_key, firsts.conversion_id, firsts.session_key

),

seen_sources as (

    select
        person_key,
        conversion_id,
        session_key,
        touched_at
        {%- for name in ['source', 'medium', 'campaign'] %},
        coalesce(case
            when is_on_page = 1 then page_{{ name }}
            when is_before = 1 then before_{{ name }}
            when session_number = 1 then first_user_{{ name }}
        end, '(not set)') as {{ name }}
        {%- endfor %}
    from seen_records

),

seen_directs as (

    select
        *,
        {{ session_is_direct() }} as is_direct
    from seen_sources

),

as_of_conversion as (

    select
        person_key,
        conversion_id,
        session_key,
        touched_at,
        {{ session_names() }},
        is_direct
    from seen_directs

),

{{ channel_ctes('as_of_conversion', ['person_key', 'conversion_id', 'session_key'], 'touched_at') }}
{%- endmacro %}

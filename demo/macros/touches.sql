{#
  Common table expressions that end in `touches`: all touches of all sessions, by evidence alone, before channels are named
  and some of them left out.
#}
{% macro touch_ctes() -%}
{%- if var('touch_grain') == 'session' %}

sessions as (

    select
        *,
        {{ session_is_direct() }} as is_direct
    from {{ ref('int_sessions') }}

),

touches as (

    select
        person_key,
        session_key,
        session_started_at as event_timestamp,
        first_batch_page_id as batch_page_id,
        first_batch_ordering_id as batch_ordering_id,
        first_batch_event_index as batch_event_index,
        first_event_key as event_key,
        first_event_key as evidence_event_key,
        {{ session_names() }},
        {{ null_text() }} as click_id,
        cast(null as bigint) as evidence_class,
        is_direct
    from sessions

)
{%- else %}

-- A page is a batch_page_id, else the events of one time and address.
events as (

    select
        person_key,
        session_key,
        {{ total_order() }},
        page_location,
        evidence_class,
        source,
        medium,
        campaign,
        click_id,
        case when batch_page_id = 0 then event_timestamp else 0 end as page_time,
        case when batch_page_id = 0 then coalesce(page_location, '') else '' end as page_address
    from {{ ref('int_event_sessions') }}
    where session_key is not null

),

-- What stands in the address or referrer only is still there on later requests of the page [2.2].
evidence as (

    select *
    from events
    where evidence_class <= 2 or (evidence_class is not null and batch_ordering_id <= 1)

),

addresses as (

    select distinct person_key, session_key, coalesce(page_location, '') as address
    from evidence
    where evidence_class > 2

),

-- The first time at which the session shows an address: reloads are no new clicks [2.2].
address_times as (

    select
        events.person_key,
        events.session_key,
        addresses.address,
        min(events.event_timestamp) as shown_at
    from addresses
    inner join events
        on addresses.person_key = events.person_key
        and addresses.session_key = events.session_key
        and addresses.address = coalesce(events.page_location, '')
    group by events.person_key, events.session_key, addresses.address

),

fresh_evidence as (

    select * from evidence where evidence_class <= 2

    union all

    select evidence.*
    from evidence
    inner join address_times
        on evidence.person_key = address_times.person_key
        and evidence.session_key = address_times.session_key
        and coalesce(evidence.page_location, '') = address_times.address
        and evidence.event_timestamp = address_times.shown_at
    where evidence.evidence_class > 2

),

-- Of a page the best class counts, and of that its first event [2.2].
candidate_keys as (

    select
        person_key,
        session_key,
        batch_page_id,
        page_time,
        page_address,
        {{ first_by('event_key', 'evidence_class, ' ~ total_order()) }} as event_key
    from fresh_evidence
    group by person_key, session_key, batch_page_id, page_time, page_address

),

candidates as (

    select fresh_evidence.*
    from candidate_keys
    inner join fresh_evidence
        on candidate_keys.person_key = fresh_evidence.person_key
        and candidate_keys.session_key = fresh_evidence.session_key
        and candidate_keys.event_key = fresh_evidence.event_key

),

-- A touch stands at the first event of its page, so that a landing page that converts precedes itself [2.5].
page_starts as (

    select
        candidates.person_key,
        candidates.session_key,
        candidates.event_key as evidence_event_key,
        min(events.event_timestamp) as event_timestamp,
        {%- for name in ['batch_page_id', 'batch_ordering_id', 'batch_event_index'] %}
        {{ first_by('events.' ~ name, total_order('events')) }} as {{ name }},
        {%- endfor %}
        {{ first_by('events.event_key', total_order('events')) }} as event_key
    from candidates
    inner join events
        on candidates.person_key = events.person_key
        and candidates.session_key = events.session_key
        and candidates.batch_page_id = events.batch_page_id
        and candidates.page_time = events.page_time
        and candidates.page_address = events.page_address
    group by candidates.person_key, candidates.session_key, candidates.event_key

),

pages as (

    select
        page_starts.*,
        candidates.source,
        candidates.medium,
        candidates.campaign,
        candidates.click_id,
        candidates.evidence_class,
        {{ hash_key([
            'lower(candidates.source)', 'lower(candidates.medium)', 'lower(candidates.campaign)',
            'lower(candidates.click_id)'
        ]) }} as evidence_key
    from candidates
    inner join page_starts
        on candidates.person_key = page_starts.person_key
        and candidates.session_key = page_starts.session_key
        and candidates.event_key = page_starts.evidence_event_key

),

page_counts as (

    select person_key, session_key, count(*) as pages
    from pages
    group by person_key, session_key

),

-- Only sessions with several pages of evidence have something to compare.
compared as (

    select
        pages.*,
        lag(pages.evidence_key) over (
            partition by pages.person_key, pages.session_key order by {{ total_order('pages') }}
        ) as previous_evidence_key
    from page_counts
    inner join pages
        on page_counts.person_key = pages.person_key and page_counts.session_key = pages.session_key
    where page_counts.pages > 1

),

-- A touch is a change of the evidence inside a session [2.3]; a session that does not start with evidence starts
-- Direct [2.6, 2.11], unless it starts with a return, which is dropped and not made Direct [2.8].
touches as (

    select
        pages.person_key,
        pages.session_key,
        {{ total_order('pages') }},
        pages.evidence_event_key,
        coalesce(pages.source, '(not set)') as source,
        coalesce(pages.medium, '(not set)') as medium,
        coalesce(pages.campaign, '(not set)') as campaign,
        pages.click_id,
        pages.evidence_class,
        false as is_direct
    from page_counts
    inner join pages
        on page_counts.person_key = pages.person_key and page_counts.session_key = pages.session_key
    where page_counts.pages = 1

    union all

    select
        person_key,
        session_key,
        {{ total_order() }},
        evidence_event_key,
        coalesce(source, '(not set)') as source,
        coalesce(medium, '(not set)') as medium,
        coalesce(campaign, '(not set)') as campaign,
        click_id,
        evidence_class,
        false as is_direct
    from compared
    where evidence_key is distinct from previous_evidence_key

    union all

    select
        sessions.person_key,
        sessions.session_key,
        sessions.session_started_at as event_timestamp,
        sessions.first_batch_page_id as batch_page_id,
        sessions.first_batch_ordering_id as batch_ordering_id,
        sessions.first_batch_event_index as batch_event_index,
        sessions.first_event_key as event_key,
        sessions.first_event_key as evidence_event_key,
        '(direct)' as source,
        '(none)' as medium,
        '(direct)' as campaign,
        {{ null_text() }} as click_id,
        cast(null as bigint) as evidence_class,
        true as is_direct
    from {{ ref('int_sessions') }} as sessions
    left join pages
        on sessions.person_key = pages.person_key
        and sessions.session_key = pages.session_key
        and sessions.first_event_key = pages.event_key
    where pages.event_key is null
        and sessions.first_referrer_dropped is null

)
{%- endif %}
{%- endmacro %}

{# Rows of int_touchpoints: all touches, but for those of some channels. #}
{% macro touchpoint_rows(excluded) -%}
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
{%- if excluded %}
-- Touches may be left out, conversions never [2.6].
where channel not in ({{ quoted(excluded) }})
{%- endif %}
{%- endmacro %}

{# Session grain: does the record name neither a source nor a medium [2.6]? Where no record speaks, it is unknown (section 3). #}
{% macro session_is_direct() -%}
lower(source) in ('(direct)', 'direct', '(not set)') and lower(medium) in ('(none)', '(not set)')
        and not (source = '(not set)' and medium = '(not set)' and campaign = '(not set)')
{%- endmacro %}

{# Its source, medium and campaign: Direct has one name, whatever the record wrote; an unknown source is not Direct [2.6, 2.7]. #}
{% macro session_names() -%}
{%- for name, direct in [('source', '(direct)'), ('medium', '(none)'), ('campaign', '(direct)')] -%}
case when is_direct then '{{ direct }}' else {{ name }} end as {{ name }}{% if not loop.last %},
        {% endif %}
{%- endfor %}
{%- endmacro %}

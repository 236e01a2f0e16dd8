{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

with
{%- if var('touch_grain') == 'session' %}

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
        source,
        medium,
        campaign,
        {{ null_text() }} as click_id,
        cast(null as bigint) as evidence_class,
        lower(source) in ('(direct)', 'direct') and lower(medium) in ('(none)', '(not set)') as is_direct
    from {{ ref('int_sessions') }}

),
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
    from events
    inner join addresses
        on events.person_key = addresses.person_key
        and events.session_key = addresses.session_key
        and coalesce(events.page_location, '') = addresses.address
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
ranked_evidence as (

    select
        *,
        row_number() over (
            partition by person_key, session_key, batch_page_id, page_time, page_address
            order by evidence_class, {{ total_order() }}
        ) as evidence_rank
    from fresh_evidence

),

candidates as (

    select * from ranked_evidence where evidence_rank = 1

),

-- A touch stands at the first event of its page, so that a landing page that converts precedes itself [2.5].
page_events as (

    select
        events.person_key,
        events.session_key,
        events.event_timestamp,
        events.batch_page_id,
        events.batch_ordering_id,
        events.batch_event_index,
        events.event_key,
        candidates.event_key as evidence_event_key,
        candidates.source,
        candidates.medium,
        candidates.campaign,
        candidates.click_id,
        candidates.evidence_class,
        row_number() over (
            partition by candidates.person_key, candidates.session_key, candidates.event_key
            order by {{ total_order('events') }}
        ) as page_event_number
    from events
    inner join candidates
        on events.person_key = candidates.person_key
        and events.session_key = candidates.session_key
        and events.batch_page_id = candidates.batch_page_id
        and events.page_time = candidates.page_time
        and events.page_address = candidates.page_address

),

-- The start of a session stands before any evidence at the same event.
starts_and_pages as (

    select
        person_key,
        session_key,
        {{ total_order() }},
        evidence_event_key,
        source,
        medium,
        campaign,
        click_id,
        evidence_class,
        {{ hash_key(['lower(source)', 'lower(medium)', 'lower(campaign)', 'lower(click_id)']) }} as evidence_key,
        1 as is_page
    from page_events
    where page_event_number = 1

    union all

    select
        person_key,
        session_key,
        session_started_at as event_timestamp,
        first_batch_page_id as batch_page_id,
        first_batch_ordering_id as batch_ordering_id,
        first_batch_event_index as batch_event_index,
        first_event_key as event_key,
        first_event_key as evidence_event_key,
        '(direct)' as source,
        '(none)' as medium,
        '(direct)' as campaign,
        {{ null_text() }} as click_id,
        cast(null as bigint) as evidence_class,
        {{ null_text() }} as evidence_key,
        0 as is_page
    from {{ ref('int_sessions') }}

),

sequenced as (

    select
        *,
        lag(evidence_key) over (
            partition by person_key, session_key order by {{ total_order() }}, is_page
        ) as previous_evidence_key,
        lead(event_key) over (
            partition by person_key, session_key order by {{ total_order() }}, is_page
        ) as next_event_key
    from starts_and_pages

),

-- A touch is a change of the evidence inside a session [2.3]; a session that does not start with evidence starts
-- Direct [2.6, 2.11].
touches as (

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
        is_page = 0 as is_direct
    from sequenced
    where (is_page = 1 and (evidence_key is distinct from previous_evidence_key))
        or (is_page = 0 and (event_key is distinct from next_event_key))

),
{%- endif %}

classified as (

    select
        touches.*,
        {{ channel('touches.source', 'touches.medium', 'touches.campaign', 'categories.category') }} as channel,
        {{ channel_rule('touches.source', 'touches.medium', 'touches.campaign', 'categories.category') }}
            as channel_rule
    from touches
    left join {{ ref('source_categories') }} as categories on lower(touches.source) = categories.source

)

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

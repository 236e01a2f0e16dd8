{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{%- set order = total_order() %}
{%- set has_source = "coalesce(first_user_source, first_user_medium, first_user_campaign) is not null" %}

with

persons as (

    select
        person_key,
        min(user_pseudo_id) as user_pseudo_id,
        min(event_timestamp) as first_seen_at,
        max(event_timestamp) as last_seen_at,
        count(*) as events,
        {{ last_by('user_id', order, 'user_id is not null') }} as last_user_id,
        {{ first_by('country', order, 'country is not null') }} as country,
        {{ first_by('device_category', order, 'device_category is not null') }} as device_category,
        {{ first_by('first_user_source', order, has_source) }} as first_user_source,
        {{ first_by('first_user_medium', order, has_source) }} as first_user_medium,
        {{ first_by('first_user_campaign', order, has_source) }} as first_user_campaign
    from {{ ref('int_event_sessions') }}
    group by person_key

),

visits as (

    select person_key, count(*) as sessions
    from {{ ref('int_sessions') }}
    group by person_key

)

select
    persons.person_key,
    persons.user_pseudo_id,
    {{ utc_timestamp('persons.first_seen_at') }} as first_seen_at,
    {{ utc_timestamp('persons.last_seen_at') }} as last_seen_at,
    persons.events,
    coalesce(visits.sessions, 0) as sessions,
    persons.last_user_id,
    persons.country,
    persons.device_category,
    persons.first_user_source,
    persons.first_user_medium,
    persons.first_user_campaign
from persons
left join visits on persons.person_key = visits.person_key

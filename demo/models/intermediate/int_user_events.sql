{{ config(materialized='view', meta={'live': {'key': 'person_key'}}) }}

select
    events.*,
    users.first_seen_at,
    users.last_seen_at,
    users.events as user_events,
    users.sessions as user_sessions,
    users.last_user_id,
    users.country as user_country,
    users.device_category as user_device_category,
    users.first_user_source as user_first_source,
    users.first_user_medium as user_first_medium,
    users.first_user_campaign as user_first_campaign
from {{ ref('int_events') }} as events
inner join {{ ref('int_users') }} as users on events.person_key = users.person_key

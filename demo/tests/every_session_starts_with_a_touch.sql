-- By rule 5 of int_touchpoints every session has a touch at its first event [2.11], but for one that starts with a return from
-- the site itself or a payment page [2.8].
{{ config(enabled=not var('excluded_channels')) }}

select sessions.session_key
from {{ ref('int_sessions') }} as sessions
left join {{ ref('int_touchpoints') }} as touches
    on sessions.person_key = touches.person_key
    and sessions.session_key = touches.session_key
    and sessions.first_event_key = touches.event_key
where touches.touch_id is null
    {%- if var('touch_grain') != 'session' %}
    and sessions.first_referrer_dropped is null
    {%- endif %}

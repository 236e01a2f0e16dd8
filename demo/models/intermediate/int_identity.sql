{#- Only other modes than `identity: device` read it: in that one it is not made, and links nobody. -#}
{%- set by_device = is_one_device() | trim == 'yes' -%}
{{ config(
    materialized='ephemeral' if by_device else 'table',
    meta={'live': {'key': 'person_key'}} if by_device else {}
) }}

{%- if by_device %}
-- Nobody, said so that the model is local to the person, as those that name it have to be.
select
    person_key,
    user_id,
    cast(1 as bigint) as sign_in_number,
    event_timestamp as signed_in_at,
    event_timestamp as linked_at,
    cast(null as bigint) as refused_from,
    {{ null_text() }} as refused_by
from {{ ref('int_events') }}
where person_key is null
{%- else %}
with

-- Without a user_pseudo_id there is no device that a login could be linked with, and no consent to do so [2.24].
events as (

    select
        person_key,
        {{ usable_user_id('user_id') }} as user_id,
        {{ total_order() }}
    from {{ ref('int_events') }}
    where user_pseudo_id is not null and user_id is not null

),

sequenced as (

    select
        *,
        lag(user_id) over (partition by person_key order by {{ total_order() }}) as previous_user_id
    from events
    where user_id is not null

),

-- The first event of each run of one user on a device.
sign_ins as (

    select
        person_key,
        user_id,
        event_timestamp as signed_in_at,
        row_number() over (partition by person_key order by {{ total_order() }}) as sign_in_number
    from sequenced
    where previous_user_id is null or user_id <> previous_user_id

),

edges as (

    select
        person_key,
        user_id,
        min(signed_in_at) as linked_at
    from sign_ins
    group by person_key, user_id

),

numbered as (

    select
        *,
        row_number() over (partition by person_key order by linked_at, user_id) as user_number,
        row_number() over (partition by user_id order by linked_at, person_key) as device_number
    from edges

),

-- A bound is passed at a time, not for ever: before it the edges held, and what was credited by them stays [2.26].
shared_devices as (

    select person_key, min(linked_at) as refused_from
    from numbered
    where user_number > {{ var('identity_max_users_per_device') }}
    group by person_key

),

shared_users as (

    select user_id, min(linked_at) as refused_from
    from numbered
    where device_number > {{ var('identity_max_devices_per_user') }}
    group by user_id

),

bounded as (

    select
        edges.person_key,
        edges.user_id,
        edges.linked_at,
        shared_devices.refused_from as device_refused_from,
        shared_users.refused_from as user_refused_from
    from edges
    left join shared_devices on edges.person_key = shared_devices.person_key
    left join shared_users on edges.user_id = shared_users.user_id

)

select
    sign_ins.person_key,
    sign_ins.user_id,
    {{ whole('sign_ins.sign_in_number') }} as sign_in_number,
    sign_ins.signed_in_at,
    bounded.linked_at,
    case
        when bounded.device_refused_from <= coalesce(bounded.user_refused_from, bounded.device_refused_from)
            then bounded.device_refused_from
        else bounded.user_refused_from
    end as refused_from,
    case
        when bounded.device_refused_from <= coalesce(bounded.user_refused_from, bounded.device_refused_from)
            then 'users_of_device'
        when bounded.user_refused_from is not null then 'devices_of_user'
    end as refused_by
from sign_ins
inner join bounded
    on sign_ins.person_key = bounded.person_key and sign_ins.user_id = bounded.user_id
{%- endif %}

{#- Only other modes than `identity: device` read it: in that one it is not made. -#}
{%- set by_device = is_one_device() | trim == 'yes' -%}
{{ config(
    materialized='ephemeral' if by_device else 'table',
    meta={'live': {'key': 'person_key'}} if by_device else {}
) }}
-- depends_on: {{ ref('int_identity') }}

with

conversions as (

    select
        person_key,
        conversion_id,
        converted_at,
        {{ known_until('converted_at') }} as known_until
    from {{ ref('int_conversions') }}
    where is_counted

){% if by_device %}


select
    person_key,
    conversion_id,
    {{ null_text() }} as user_id,
    person_key as device_key
from conversions
{%- else %},

-- What was known, bounds included, when the conversion looks.
sign_ins as (

    select
        conversions.person_key,
        conversions.conversion_id,
        conversions.known_until,
        sign_ins.user_id,
        row_number() over (
            partition by conversions.person_key, conversions.conversion_id
            order by
                case when sign_ins.signed_in_at <= conversions.converted_at then 0 else 1 end,
                case when sign_ins.signed_in_at <= conversions.converted_at
                    then -sign_ins.sign_in_number else sign_ins.sign_in_number end
        ) as preference
    from conversions
    inner join {{ ref('int_identity') }} as sign_ins on conversions.person_key = sign_ins.person_key
    where sign_ins.signed_in_at <= conversions.known_until
        and (sign_ins.refused_from is null or sign_ins.refused_from > conversions.known_until)

),

-- The user signed in last on the device of the conversion, else the next one to do so.
owners as (

    select * from sign_ins where preference = 1

),

edges as (

    select
        person_key,
        user_id,
        min(linked_at) as linked_at,
        min(refused_from) as refused_from
    from {{ ref('int_identity') }}
    group by person_key, user_id

)

select
    conversions.person_key,
    conversions.conversion_id,
    owners.user_id,
    conversions.person_key as device_key
from conversions
left join owners
    on conversions.person_key = owners.person_key and conversions.conversion_id = owners.conversion_id

union all

select
    owners.person_key,
    owners.conversion_id,
    owners.user_id,
    edges.person_key as device_key
from owners
inner join edges on owners.user_id = edges.user_id
where edges.person_key <> owners.person_key
    and edges.linked_at <= owners.known_until
    and (edges.refused_from is null or edges.refused_from > owners.known_until)
{%- endif %}

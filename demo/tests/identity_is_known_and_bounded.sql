{{ config(enabled=var('identity') != 'device') }}

-- Each counted conversion looks at its own device, at each device once, at no more than a user may have, and at another one
-- only by a user of both [2.26].
with

counted as (

    select
        conversions.conversion_id,
        count(devices.device_key) as devices,
        count(distinct devices.device_key) as distinct_devices,
        sum(case when devices.device_key = conversions.person_key then 1 else 0 end) as own_devices
    from {{ ref('int_conversions') }} as conversions
    left join {{ ref('int_conversion_devices') }} as devices
        on conversions.person_key = devices.person_key and conversions.conversion_id = devices.conversion_id
    where conversions.is_counted
    group by conversions.conversion_id

),

known as (

    select distinct person_key, user_id from {{ ref('int_identity') }}

)

select conversion_id, 'not each device once' as complaint
from counted
where own_devices <> 1
    or devices <> distinct_devices
    or devices > {{ var('identity_max_devices_per_user') }} + 1

union all

select devices.conversion_id, 'a device that nothing links' as complaint
from {{ ref('int_conversion_devices') }} as devices
left join known as here on devices.person_key = here.person_key and devices.user_id = here.user_id
left join known as there on devices.device_key = there.person_key and devices.user_id = there.user_id
where devices.device_key <> devices.person_key
    and (here.user_id is null or there.user_id is null)

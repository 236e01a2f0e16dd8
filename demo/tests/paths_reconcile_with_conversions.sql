-- Every counted conversion is one path, and its value is in it; every touch is in a path of each key event.
with

counted as (

    select event_name, count(*) as paths, sum(coalesce(revenue, 0)) as revenue
    from {{ ref('int_conversions') }}
    where is_counted
    group by event_name

),

reported as (

    select event_name, sum(converted) as paths, sum(coalesce(revenue, 0)) as revenue
    from {{ ref('mart_paths') }}
    group by event_name

)

select
    coalesce(counted.event_name, reported.event_name) as event_name,
    counted.paths,
    reported.paths as reported_paths,
    counted.revenue,
    reported.revenue as reported_revenue
from counted
full outer join reported on counted.event_name = reported.event_name
where coalesce(counted.paths, 0) <> coalesce(reported.paths, 0)
    or coalesce(counted.revenue, 0) <> coalesce(reported.revenue, 0)

-- Deduplication loses no row: copies add up to the staged rows of each day [2.19].
with

staged as (

    select event_date, count(*) as event_rows from {{ ref('stg_events') }} group by event_date

),

kept as (

    select event_date, sum(copies) as event_rows from {{ ref('int_events') }} group by event_date

)

select
    coalesce(staged.event_date, kept.event_date) as event_date,
    staged.event_rows as staged_rows,
    kept.event_rows as kept_rows
from staged
full outer join kept on staged.event_date = kept.event_date
where coalesce(staged.event_rows, 0) <> coalesce(kept.event_rows, 0)

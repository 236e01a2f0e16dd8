{{ config(materialized='table') }}

-- Rows of one's own come before those of the list; one without a category takes its source off the list.
select
    lower(trim(own.source)) as source,
    upper(trim(own.category)) as category,
    {{ null_text() }} as engine_name,
    'own' as origin
from {{ ref('own_source_categories') }} as own
where own.category is not null

union all

select
    listed.source,
    listed.category,
    listed.engine_name,
    listed.origin
from {{ ref('source_categories') }} as listed
left join {{ ref('own_source_categories') }} as own on listed.source = lower(trim(own.source))
where own.source is null

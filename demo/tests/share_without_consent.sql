-- Key events without a user are credited to their own evidence only; above a fifth, reports are thin [2.24].
{{ config(severity='warn') }}

select
    count(*) as conversions,
    sum(case when user_pseudo_id is null then 1 else 0 end) as without_user
from {{ ref('int_conversions') }}
where is_counted
having sum(case when user_pseudo_id is null then 1 else 0 end) * 5 > count(*)

-- Refunds that no order of the tables takes: they change no figure. Some are of orders before the first loaded
-- day; above a half something is wrong, for example refunds that name another device while order_dedupe_scope is `device` [2.21].
{{ config(severity='warn') }}

select
    count(*) as refunds,
    sum(case when unmatched_reason is not null then 1 else 0 end) as unmatched
from {{ ref('int_refunds') }}
having sum(case when unmatched_reason is not null then 1 else 0 end) * 2 > count(*)

-- UTMs win on the way back from the site itself or from a payment page, but they take the order from what led to it: tag no
-- links of your own, nor the return address that you give to a payment provider [2.8].
{{ config(severity='warn') }}

select
    referrer_dropped,
    source,
    medium,
    campaign,
    count(*) as events,
    min(page_location) as example
from {{ ref('int_events') }}
where referrer_dropped is not null
    and evidence_class in (1, 2, 3)
    and lower(page_location) like '%utm_%'
group by referrer_dropped, source, medium, campaign

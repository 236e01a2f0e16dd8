{{ config(materialized='table') }}

select
    source,
    medium,
    campaign,
    channel,
    channel_rule,
    count(*) as touches,
    count(distinct session_key) as sessions
from {{ ref('int_touchpoints') }}
group by source, medium, campaign, channel, channel_rule

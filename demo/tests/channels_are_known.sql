-- No label but those of the rules, of the rules of one's own, and (no touch) where nothing is known [2.7].
with

known as (
    {%- for rule in channel_rules('', '', '', '') %}
    select '{{ rule[1] }}' as channel
    union all
    {%- endfor %}
    select channel from {{ ref('own_channel_rules') }}

),

found as (

    select distinct 'int_touchpoints' as relation, channel from {{ ref('int_touchpoints') }}

    union all

    select distinct 'fct_credits' as relation, channel from {{ ref('fct_credits') }} where channel <> '(no touch)'

)

select found.relation, found.channel
from found
left join (select distinct channel from known) as known on found.channel = known.channel
where known.channel is null

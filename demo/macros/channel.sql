{#
  GA4's default channel group as dated data [2.32]: versions with the day from which they hold, and rules in order, of
  which the first that matches wins. From support.google.com/analytics/answer/9756891 (the group) and 9164320 (what is
  new), read on 2026-11-23.
#}

{# Versions, oldest first. AI Assistant came on 13 May 2026; Google does not classify older visits anew. #}
{% macro channel_versions() -%}
{{ return([{'version': 'ga4-2024', 'from': none}, {'version': 'ga4-2026', 'from': '2026-05-13'}]) }}
{%- endmacro %}

{#
  Rules: id, channel, condition, and the versions that have it (none: all). `s`, `m`, `c`: source, medium and campaign in
  lower case; `k`: the category of the source.
#}
{% macro channel_rules(s, m, c, k) -%}
{%- set paid = "(" ~ m ~ " like '%cp%' or " ~ m ~ " like 'paid%' or " ~ m ~ " in ('ppc', 'retargeting'))" -%}
{%- set shop = "(" ~ c ~ " like '%shopping%' or " ~ shop_word(c) ~ ")" -%}
{%- set email = "('email', 'e-mail', 'e_mail', 'e mail')" -%}
{%- set social = "('social', 'social-network', 'social-media', 'sm', 'social network', 'social media')" -%}
{{ return([
    ['direct', 'Direct', s ~ " = '(direct)' and " ~ m ~ " in ('(not set)', '(none)')", none],
    ['cross_network', 'Cross-network', c ~ " like '%cross-network%'", none],
    ['paid_shopping', 'Paid Shopping', "(" ~ k ~ " = 'SHOPPING' or " ~ shop ~ ") and " ~ paid, none],
    ['paid_search', 'Paid Search', k ~ " = 'SEARCH' and " ~ paid, none],
    ['paid_social', 'Paid Social', k ~ " = 'SOCIAL' and " ~ paid, none],
    ['paid_video', 'Paid Video', k ~ " = 'VIDEO' and " ~ paid, none],
    ['display', 'Display', m ~ " in ('display', 'banner', 'expandable', 'interstitial', 'cpm')", none],
    ['paid_other', 'Paid Other', paid, none],
    ['organic_shopping', 'Organic Shopping', k ~ " = 'SHOPPING' or " ~ shop, none],
    ['organic_social', 'Organic Social', k ~ " = 'SOCIAL' or " ~ m ~ " in " ~ social, none],
    ['organic_video', 'Organic Video', k ~ " = 'VIDEO' or " ~ m ~ " like '%video%'", none],
    ['ai_assistant', 'AI Assistant', m ~ " = 'ai-assistant'", ['ga4-2026']],
    ['organic_search', 'Organic Search', k ~ " = 'SEARCH' or " ~ m ~ " = 'organic'", none],
    ['referral', 'Referral', m ~ " in ('referral', 'app', 'link')", none],
    ['ai_referral', 'Referral', m ~ " = 'ai-assistant'", ['ga4-2024']],
    ['email', 'Email', s ~ " in " ~ email ~ " or " ~ m ~ " in " ~ email, none],
    ['affiliates', 'Affiliates', m ~ " = 'affiliate'", none],
    ['audio', 'Audio', m ~ " = 'audio'", none],
    ['sms', 'SMS', s ~ " = 'sms' or " ~ m ~ " = 'sms'", none],
    ['mobile_push', 'Mobile Push Notifications',
        m ~ " like '%push' or " ~ m ~ " like '%mobile%' or " ~ m ~ " like '%notification%' or " ~ s ~ " = 'firebase'", none],
    ['unassigned', 'Unassigned', "true", none]
]) }}
{%- endmacro %}

{#
  The rule that names the channel of a tuple, as `ga4-2026 paid_search`. Arguments are SQL expressions; `category` is that
  of the source in stg_source_categories, `at` the time of the visit (microseconds). Which version holds is said by var
  `channel_rules`: one of them, or `by_date`.
#}
{% macro channel_rule(source, medium, campaign, category, at) -%}
{%- set versions = channel_versions() -%}
{%- set fixed = var('channel_rules') -%}
{%- set s = "coalesce(lower(" ~ source ~ "), '(not set)')" -%}
{%- set m = "coalesce(lower(" ~ medium ~ "), '(not set)')" -%}
{%- set c = "coalesce(lower(" ~ campaign ~ "), '(not set)')" -%}
{%- set k = "coalesce(" ~ category ~ ", '')" -%}
{%- if fixed == 'by_date' -%}
{%- set newest = versions | last -%}
{%- set is_newest = at ~ " >= " ~ local_midnight_micros("date '" ~ newest.from ~ "'") -%}
case when {{ is_newest }} then '{{ newest.version }} ' else '{{ versions[0].version }} ' end ||
{%- elif fixed not in (versions | map(attribute='version') | list) -%}
{{ exceptions.raise_compiler_error("channel_rules is '" ~ fixed ~ "': it may be by_date, ga4-2024 or ga4-2026") }}
{%- else -%}
'{{ fixed }} ' ||
{%- endif %}
case
    {%- for rule in channel_rules(s, m, c, k) %}
    {%- if rule[3] is none %}
    when {{ rule[2] }} then '{{ rule[0] }}'
    {%- elif fixed == 'by_date' %}
    when {{ rule[2] }} and {{ is_newest if newest.version in rule[3] else 'not (' ~ is_newest ~ ')' }} then '{{ rule[0] }}'
    {%- elif fixed in rule[3] %}
    when {{ rule[2] }} then '{{ rule[0] }}'
    {%- endif %}
    {%- endfor %}
end
{%- endmacro %}

{# The channel that a rule names. #}
{% macro channel_of(rule) -%}
{%- set id = "substr(" ~ rule ~ ", strpos(" ~ rule ~ ", ' ') + 1)" -%}
case {{ id }}
    {%- for rule in channel_rules('', '', '', '') %}
    when '{{ rule[0] }}' then '{{ rule[1] }}'
    {%- endfor %}
end
{%- endmacro %}

{# GA4's pattern for a word `shop`: at the start, or after a character other than a-d and f-z (so `eshop`). #}
{% macro shop_word(campaign) %}{{ adapter.dispatch('shop_word')(campaign) }}{% endmacro %}
{% macro clicktrail__shop_word(campaign) %}regexp_like({{ campaign }}, '(^|[^a-df-z])shop'){% endmacro %}
{% macro duckdb__shop_word(campaign) %}regexp_matches({{ campaign }}, '(^|[^a-df-z])shop'){% endmacro %}
{% macro bigquery__shop_word(campaign) %}regexp_contains({{ campaign }}, r'(^|[^a-df-z])shop'){% endmacro %}

{#
  Common table expressions that add `channel_rule` and `channel` to the rows of `relation`, which has source, medium and
  campaign; `keys` are the columns that tell its rows apart, the person's first, `at` the time of the visit. Rules of
  one's own (seed own_channel_rules) come before Google's; of several the one with the least priority.
#}
{% macro channel_ctes(relation, keys, at) -%}
categorised as (

    select {{ relation }}.*, categories.category
    from {{ ref('stg_source_categories') }} as categories
    right join {{ relation }} on categories.source = lower({{ relation }}.source)

),

own_matches as (

    select
        {%- for key in keys %}
        categorised.{{ key }},
        {%- endfor %}
        min(own.priority) as priority
    from categorised
    inner join {{ ref('own_channel_rules') }} as own
        on lower(categorised.source) like coalesce(lower(own.source), '%')
        and lower(categorised.medium) like coalesce(lower(own.medium), '%')
        and lower(categorised.campaign) like coalesce(lower(own.campaign), '%')
        and coalesce({{ local_date('categorised.' ~ at) }} >= own.valid_from, true)
        and coalesce({{ local_date('categorised.' ~ at) }} <= own.valid_to, true)
    group by
        {%- for key in keys %}
        categorised.{{ key }}{% if not loop.last %},{% endif %}
        {%- endfor %}

),

ruled as (

    select
        categorised.*,
        own.channel as own_channel,
        coalesce(
            'own ' || own.rule,
            {{ channel_rule(
                'categorised.source', 'categorised.medium', 'categorised.campaign', 'categorised.category',
                'categorised.' ~ at
            ) }}
        ) as channel_rule
    from categorised
    left join own_matches
        on {% for key in keys %}categorised.{{ key }} = own_matches.{{ key }}{% if not loop.last %} and {% endif %}{% endfor %}
    left join {{ ref('own_channel_rules') }} as own on own_matches.priority = own.priority

),

classified as (

    select *, coalesce(own_channel, {{ channel_of('channel_rule') }}) as channel
    from ruled

)
{%- endmacro %}

{#
  GA4's default channel group [2.32] plus AI Assistant: rules in order, the first match wins. Arguments are SQL
  expressions; `category` is the category of the source in the seed source_categories.
#}

{# Channel of a tuple. #}
{% macro channel(source, medium, campaign, category) -%}
{{ channel_case(source, medium, campaign, category, 1, '', 'Unassigned') }}
{%- endmacro %}

{# The rule that gave the channel, as `ga4-2026.05 paid_search`. #}
{% macro channel_rule(source, medium, campaign, category) -%}
{{ channel_case(source, medium, campaign, category, 0, var('channel_rules') ~ ' ', 'unassigned') }}
{%- endmacro %}

{% macro channel_case(source, medium, campaign, category, column, prefix, otherwise) -%}
{%- set s = "coalesce(lower(" ~ source ~ "), '(not set)')" -%}
{%- set m = "coalesce(lower(" ~ medium ~ "), '(not set)')" -%}
{%- set c = "coalesce(lower(" ~ campaign ~ "), '(not set)')" -%}
{%- set k = "coalesce(" ~ category ~ ", '')" -%}
{%- set paid = "(" ~ m ~ " like '%cp%' or " ~ m ~ " like 'paid%' or " ~ m ~ " in ('ppc', 'retargeting'))" -%}
{%- set shop = "(" ~ c ~ " like '%shopping%' or " ~ shop_word(c) ~ ")" -%}
{%- set email = "('email', 'e-mail', 'e_mail', 'e mail')" -%}
{%- set social = "('social', 'social-network', 'social-media', 'sm', 'social network', 'social media')" -%}
{%- set rules = [
    ['direct', 'Direct', s ~ " = '(direct)' and " ~ m ~ " in ('(not set)', '(none)')"],
    ['cross_network', 'Cross-network', c ~ " like '%cross-network%'"],
    ['paid_shopping', 'Paid Shopping', "(" ~ k ~ " = 'SHOPPING' or " ~ shop ~ ") and " ~ paid],
    ['paid_search', 'Paid Search', k ~ " = 'SEARCH' and " ~ paid],
    ['paid_social', 'Paid Social', k ~ " = 'SOCIAL' and " ~ paid],
    ['paid_video', 'Paid Video', k ~ " = 'VIDEO' and " ~ paid],
    ['display', 'Display', m ~ " in ('display', 'banner', 'expandable', 'interstitial', 'cpm')"],
    ['paid_other', 'Paid Other', paid],
    ['organic_shopping', 'Organic Shopping', k ~ " = 'SHOPPING' or " ~ shop],
    ['organic_social', 'Organic Social', k ~ " = 'SOCIAL' or " ~ m ~ " in " ~ social],
    ['organic_video', 'Organic Video', k ~ " = 'VIDEO' or " ~ m ~ " like '%video%'"],
    ['ai_assistant', 'AI Assistant', m ~ " = 'ai-assistant'"],
    ['organic_search', 'Organic Search', k ~ " = 'SEARCH' or " ~ m ~ " = 'organic'"],
    ['referral', 'Referral', m ~ " in ('referral', 'app', 'link')"],
    ['email', 'Email', s ~ " in " ~ email ~ " or " ~ m ~ " in " ~ email],
    ['affiliates', 'Affiliates', m ~ " = 'affiliate'"],
    ['audio', 'Audio', m ~ " = 'audio'"],
    ['sms', 'SMS', s ~ " = 'sms' or " ~ m ~ " = 'sms'"],
    ['mobile_push', 'Mobile Push Notifications',
        m ~ " like '%push' or " ~ m ~ " like '%mobile%' or " ~ m ~ " like '%notification%' or " ~ s ~ " = 'firebase'"]
] -%}
case
    {%- for rule in rules %}
    when {{ rule[2] }} then '{{ prefix }}{{ rule[column] }}'
    {%- endfor %}
    else '{{ prefix }}{{ otherwise }}'
end
{%- endmacro %}

{# GA4's pattern for a word `shop`: at the start, or after a character other than a-d and f-z (so `eshop`). #}
{% macro shop_word(campaign) %}{{ adapter.dispatch('shop_word')(campaign) }}{% endmacro %}
{% macro clicktrail__shop_word(campaign) %}regexp_like({{ campaign }}, '(^|[^a-df-z])shop'){% endmacro %}
{% macro duckdb__shop_word(campaign) %}regexp_matches({{ campaign }}, '(^|[^a-df-z])shop'){% endmacro %}
{% macro bigquery__shop_word(campaign) %}regexp_contains({{ campaign }}, r'(^|[^a-df-z])shop'){% endmacro %}

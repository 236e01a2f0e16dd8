-- What follows from the order of the channel rules; each line is a case that other tools got wrong [2.32].
with

cases as (
    {%- for source, medium, campaign, category, expected in [
        ('(direct)', '(none)', '(direct)', '', 'Direct'),
        ('(direct)', '(not set)', '(not set)', '', 'Direct'),
        ('(not set)', '(not set)', '(not set)', '', 'Unassigned'),
        ('google', 'cpc', 'brand cross-network', 'SEARCH', 'Cross-network'),
        ('Google', 'CPC', 'brand', 'SEARCH', 'Paid Search'),
        ('facebook', 'cpm', '(not set)', 'SOCIAL', 'Paid Social'),
        ('facebook', 'paid_social', '(not set)', 'SOCIAL', 'Paid Social'),
        ('youtube.com', 'cpv', '(not set)', 'VIDEO', 'Paid Video'),
        ('youtube.com', 'paid', '(not set)', 'VIDEO', 'Paid Video'),
        ('somewhere', 'cpm', '(not set)', '', 'Display'),
        ('somewhere', 'cpc', '(not set)', '', 'Paid Other'),
        ('somewhere', 'paidsocial', '(not set)', '', 'Paid Other'),
        ('somewhere', 'cpc-brand', '(not set)', '', 'Paid Other'),
        ('somewhere', 'ppc2', '(not set)', '', 'Unassigned'),
        ('somewhere', 'cpc', 'eshop sale', '', 'Paid Shopping'),
        ('somewhere', 'banner', 'workshop', '', 'Display'),
        ('somewhere', 'referral', 'workshop', '', 'Referral'),
        ('somewhere', 'referral', 'shopping week', '', 'Organic Shopping'),
        ('facebook', 'email', '(not set)', 'SOCIAL', 'Organic Social'),
        ('google', 'referral', '(not set)', 'SEARCH', 'Organic Search'),
        ('t.co', 'referral', '(referral)', 'SOCIAL', 'Organic Social'),
        ('youtube.com', 'referral', '(referral)', 'VIDEO', 'Organic Video'),
        ('mail.google.com', 'referral', '(referral)', '', 'Referral'),
        ('chatgpt.com', 'ai-assistant', '(ai-assistant)', 'AI', 'AI Assistant'),
        ('bing', 'ai-assistant', '(ai-assistant)', 'SEARCH', 'AI Assistant'),
        ('chatgpt.com', 'referral', '(referral)', 'AI', 'Referral'),
        ('google', 'organic', 'Shopping Free Listings', 'SEARCH', 'Organic Shopping'),
        ('dbm', 'cpm', '(not set)', '', 'Display'),
        ('newsletter', 'E-Mail', 'may', '', 'Email'),
        ('email', 'referral', '(referral)', '', 'Referral'),
        ('partner', 'affiliate', '(not set)', '', 'Affiliates'),
        ('partner', 'affiliates', '(not set)', '', 'Unassigned'),
        ('spotify', 'audio', '(not set)', '', 'Audio'),
        ('sms', '(not set)', '(not set)', '', 'SMS'),
        ('app', 'push', '(not set)', '', 'Mobile Push Notifications'),
        ('app', 'push-web', '(not set)', '', 'Unassigned'),
        ('firebase', '(not set)', '(not set)', '', 'Mobile Push Notifications'),
        ('(data deleted)', '(data deleted)', '(data deleted)', '', 'Unassigned'),
    ] %}
    select
        '{{ source }}' as source,
        '{{ medium }}' as medium,
        '{{ campaign }}' as campaign,
        '{{ category }}' as category,
        '{{ expected }}' as expected
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

ruled as (

    -- On the day before AI Assistant and from then on.
    select
        cases.*,
        days.visited_at,
        days.is_before,
        {{ channel_rule('source', 'medium', 'campaign', 'category', 'visited_at') }} as channel_rule
    from cases
    cross join (
        select {{ local_midnight_micros("date '2026-05-13'") }} - 1 as visited_at, true as is_before
        union all
        select {{ local_midnight_micros("date '2026-05-13'") }} as visited_at, false as is_before
    ) as days

),

classified as (

    select
        *,
        case
            when expected <> 'AI Assistant' then expected
            {%- if var('channel_rules') == 'by_date' %}
            when not is_before then expected
            {%- elif var('channel_rules') == 'ga4-2026' %}
            when true then expected
            {%- endif %}
            when category = 'SEARCH' then 'Organic Search'
            else 'Referral'
        end as expected_then,
        {{ channel_of('channel_rule') }} as channel
    from ruled

)

select * from classified where channel <> expected_then

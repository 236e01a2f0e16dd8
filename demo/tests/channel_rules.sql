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

classified as (

    select
        *,
        {{ channel('source', 'medium', 'campaign', 'category') }} as channel
    from cases

)

select * from classified where channel <> expected

{{ config(materialized='view', meta={'live': {'key': 'event_date'}}) }}

{%- set dclid_as = {'display': {'source': 'dbm', 'medium': 'cpm'}, 'paid_search': {'source': 'google', 'medium': 'cpc'}}[var('dclid_as')] %}

with

events as (

    select
        *,
        {{ ga4_url_params('page_location') }} as url,
        {{ url_host('page_location') }} as page_host,
        {{ url_host('page_referrer') }} as referrer_host
    from {{ ref('base_events') }}

),

-- Every field that evidence is made of, cleaned [2.7]. A Google click id comes before the others [2.9].
fields as (

    select
        *,
        {%- for name in ['source', 'medium', 'campaign', 'term', 'content'] %}
        {{ usable('collected_' ~ name) }} as class1_{{ name }},
        {{ usable('param_' ~ name) }} as class2_{{ name }},
        {{ usable(field('url', 'utm_' ~ name)) }} as class3_{{ name }},
        {%- endfor %}
        {{ usable(field('url', 'utm_id')) }} as url_utm_id,
        {{ usable('collected_gclid') }} as class1_google_id,
        {{ usable('collected_dclid') }} as class1_dclid,
        {{ usable('collected_srsltid') }} as class1_srsltid,
        {{ usable('param_gclid') }} as class2_google_id,
        coalesce(
            {{ usable(field('url', 'gclid')) }},
            {{ usable(field('url', 'gbraid')) }},
            {{ usable(field('url', 'wbraid')) }},
            {{ usable(field('url', 'gclsrc')) }}
        ) as url_google_id,
        {{ usable(field('url', 'dclid')) }} as url_dclid,
        {{ usable(field('url', 'msclkid')) }} as url_msclkid,
        {{ usable(field('url', 'srsltid')) }} as url_srsltid,
        {{ usable(field('url', 'fbclid')) }} as url_fbclid,
        case
            when referrer_host is null then null
            when {{ host_within('referrer_host', 'page_host') }} or {{ host_within('page_host', 'referrer_host') }}
                or {{ host_matches('referrer_host', var('own_domains')) }} then 'own_host'
            when {{ is_sibling('referrer_host', 'page_host') }} then 'own_host'
            when {{ host_matches('referrer_host', var('referral_exclusions')) }} then 'excluded'
            when ignore_referrer then 'ignore_referrer'
        end as referrer_dropped,
        {{ own_referral('collected') }} as class1_own_referral,
        {{ own_referral('param') }} as class2_own_referral
    from events

),

-- The referrer is evidence only when it is neither the site itself nor a payment or sign-in hop [2.8]. The list stands left in the
-- join: an engine without statistics hashes that side, and streams the other.
referred as (

    select
        fields.*,
        case when fields.referrer_dropped is null then fields.referrer_host end as site,
        sites.category as site_category,
        sites.engine_name
    from {{ ref('stg_source_categories') }} as sites
    right join fields
        on sites.source = fields.referrer_host and sites.category in ('SEARCH', 'AI')

),

-- The first class that yields anything. Direct is the absence of evidence, not evidence [2.1, 2.6]: neither a source nor a
-- medium, whatever the campaign. Nor is a referral by the site itself, which GA4 writes into its params as any other, or what GA4
-- took from a referrer that it says to ignore [2.8].
classed as (

    select
        *,
        case
            when coalesce(
                class1_source, class1_medium, class1_campaign, class1_google_id, class1_dclid, class1_srsltid
            ) is not null
            and class1_own_referral is null
            and not ({{ is_ignored('class1_medium') }} and coalesce(class1_google_id, class1_dclid, class1_srsltid) is null)
            and not (
                coalesce(lower(class1_source), 'direct') in ('(direct)', 'direct')
                and coalesce(lower(class1_medium), '(none)') = '(none)'
                and coalesce(class1_google_id, class1_dclid, class1_srsltid) is null
            ) then 1
            when coalesce(class2_source, class2_medium, class2_campaign) is not null
            and class2_own_referral is null
            and not ({{ is_ignored('class2_medium') }} and class2_google_id is null)
            and not (
                coalesce(lower(class2_source), 'direct') in ('(direct)', 'direct')
                and coalesce(lower(class2_medium), '(none)') = '(none)'
                and class2_google_id is null
            ) then 2
            when coalesce(class3_source, class3_medium, class3_campaign, url_utm_id) is not null
            and not (
                coalesce(lower(class3_source), 'direct') in ('(direct)', 'direct')
                and coalesce(lower(class3_medium), '(none)') = '(none)'
                and coalesce(url_google_id, url_dclid, url_msclkid, url_srsltid, url_fbclid) is null
            ) then 3
            when coalesce(
                url_google_id, class2_google_id, url_dclid, url_msclkid, url_srsltid, url_fbclid
            ) is not null then 4
            when site is not null then 5
        end as evidence_class
    from referred

),

-- All fields from that one class, never mixed [2.2].
chosen as (

    select
        *,
        case evidence_class
            when 1 then class1_source
            when 2 then class2_source
            when 3 then class3_source
            when 5 then coalesce(engine_name, site)
        end as own_source,
        case evidence_class
            when 1 then class1_medium
            when 2 then class2_medium
            when 3 then class3_medium
            when 5 then case site_category when 'SEARCH' then 'organic' when 'AI' then 'ai-assistant' else 'referral' end
        end as own_medium,
        case evidence_class
            when 1 then class1_campaign
            when 2 then class2_campaign
            when 3 then class3_campaign
            when 5 then
                case site_category when 'SEARCH' then '(organic)' when 'AI' then '(ai-assistant)' else '(referral)' end
        end as own_campaign,
        case evidence_class
            when 1 then class1_google_id
            when 2 then class2_google_id
            when 3 then url_google_id
            when 4 then coalesce(url_google_id, class2_google_id)
        end as google_id,
        case evidence_class when 1 then class1_dclid when 3 then url_dclid when 4 then url_dclid end as dclid,
        case when evidence_class in (3, 4) then url_msclkid end as msclkid,
        case evidence_class when 1 then class1_srsltid when 3 then url_srsltid when 4 then url_srsltid end as srsltid,
        case when evidence_class in (3, 4) then url_fbclid end as fbclid
    from classed

),

-- A click id names the source where nothing else does; a Google one also where only (organic) does [2.9].
named as (

    select
        *,
        (own_source is null and own_medium is null and coalesce(google_id, dclid, msclkid, srsltid, fbclid) is not null)
        or (
            google_id is not null
            and coalesce(lower(own_campaign), '(organic)') in ('(organic)', '(referral)')
            and coalesce(lower(own_medium), 'organic') in ('organic', 'referral')
        ) as is_named_by_click,
        {{ usable('ecommerce_transaction_id') }} as own_transaction_id,
        case
            when event_name = 'purchase' then purchase_revenue_in_usd
            when event_name = 'refund' then refund_value_in_usd
            else event_value_in_usd
        end as revenue_in_usd,
        case
            when event_name = 'purchase' then purchase_revenue
            when event_name = 'refund' then refund_value
            else param_value
        end as revenue_in_currency
    from chosen

)

select
    event_date,
    event_timestamp,
    event_name,
    event_key,
    coalesce(user_pseudo_id, 'event:' || event_key) as person_key,
    user_pseudo_id,
    user_id,
    stream_id,
    platform,
    ga_session_id,
    ga_session_number,
    batch_page_id,
    batch_ordering_id,
    batch_event_index,
    page_location,
    page_referrer,
    page_title,
    engagement_time_msec,
    is_session_engaged,
    evidence_class,
    case
        when not is_named_by_click then own_source
        when google_id is not null then 'google'
        when dclid is not null then '{{ dclid_as.source }}'
        when msclkid is not null then 'bing'
        when srsltid is not null then 'google'
        else 'facebook'
    end as source,
    case
        when not is_named_by_click then own_medium
        when google_id is not null then 'cpc'
        when dclid is not null then '{{ dclid_as.medium }}'
        when msclkid is not null then 'cpc'
        when srsltid is not null then 'organic'
        else 'referral'
    end as medium,
    case
        {%- if var('srsltid_as') == 'organic_shopping' %}
        when is_named_by_click and coalesce(google_id, dclid, msclkid) is null and srsltid is not null
            then 'Shopping Free Listings'
        {%- endif %}
        when is_named_by_click and lower(own_campaign) in ('(organic)', '(referral)') then null
        else own_campaign
    end as campaign,
    coalesce(google_id, dclid, msclkid, srsltid, fbclid) as click_id,
    case evidence_class when 1 then class1_term when 2 then class2_term when 3 then class3_term end as term,
    case evidence_class when 1 then class1_content when 2 then class2_content when 3 then class3_content end as content,
    -- Of a record that names it where there is no referrer, as long as no better one speaks [2.8].
    case
        when referrer_host is not null then referrer_dropped
        else coalesce(
            class1_own_referral,
            case
                when {{ is_ignored('class1_medium') }} and coalesce(class1_google_id, class1_dclid, class1_srsltid) is null
                    then 'ignore_referrer'
                when evidence_class = 1 then null
                when class2_own_referral is not null then class2_own_referral
                when {{ is_ignored('class2_medium') }} and class2_google_id is null then 'ignore_referrer'
            end
        )
    end as referrer_dropped,
    param_source,
    param_medium,
    param_campaign,
    coalesce(own_transaction_id, {{ usable('param_transaction_id') }}) as transaction_id,
    {{ money('coalesce(revenue_in_usd, revenue_in_currency)') }} as revenue,
    case
        when revenue_in_usd is not null then 'USD'
        when revenue_in_currency is not null then upper({{ usable('param_currency') }})
    end as currency,
    first_user_source,
    first_user_medium,
    first_user_campaign,
    last_click_source,
    last_click_medium,
    last_click_campaign,
    last_click_channel,
    device_category,
    country,
    user_first_touch_timestamp,
    origin
from named

{{ config(materialized='view', meta={'live': {'key': 'event_date'}}) }}

{%- set columns = [
    'event_date', 'event_timestamp', 'event_name', 'event_params', 'event_value_in_usd', 'user_id', 'user_pseudo_id',
    'user_first_touch_timestamp', 'device', 'geo', 'traffic_source', 'stream_id', 'platform', 'ecommerce', 'items',
    'collected_traffic_source', 'batch_page_id', 'batch_ordering_id', 'batch_event_index',
    'session_traffic_source_last_click'
] | join(', ') %}
{%- set has_intraday = has_feed('ga4_intraday') | trim == 'yes' %}
{%- set has_stream = has_feed('live_stream') | trim == 'yes' %}

with

feeds as (

    select {{ columns }}, 'daily' as origin, 1 as authority
    from {{ ga4_rows(source('ga4', 'events')) }} as events
    {%- if has_intraday %}

    union all

    select {{ columns }}, 'intraday' as origin, 2 as authority
    from {{ ga4_rows(source('ga4', 'events_intraday')) }} as events
    {%- endif %}
    {%- if has_stream %}

    union all

    select {{ columns }}, 'stream' as origin, 3 as authority
    from {{ ga4_rows(source('live', 'events_stream')) }} as events
    {%- endif %}

),
{%- if has_intraday or has_stream %}

-- One authority per day: daily, else intraday, else stream [2.25].
authorities as (

    select event_date, min(authority) as authority
    from feeds
    group by event_date

),
{%- endif %}

typed as (

    select
        feeds.*,
        {{ ga4_params('event_params', [
            'ga_session_id:int', 'ga_session_number:int', 'session_engaged:string', 'engaged_session_event:string',
            'engagement_time_msec:int', 'page_location:string', 'page_referrer:string', 'page_title:string',
            'ignore_referrer:string', 'source:string', 'medium:string', 'campaign:string', 'term:string',
            'content:string', 'gclid:string', 'transaction_id:string', 'value:number', 'currency:string'
        ]) }} as params
    {%- if has_intraday or has_stream %}
    -- The few days stand left: an engine without statistics hashes that side, and streams the other.
    from authorities
    inner join feeds
        on feeds.event_date = authorities.event_date and feeds.authority = authorities.authority
    {%- else %}
    from feeds
    {%- endif %}

)

select
    {{ export_date('event_date') }} as event_date,
    event_timestamp,
    event_name,
    {{ ga4_event_key(field('params', 'ga_session_id')) }} as event_key,
    user_pseudo_id,
    user_id,
    {{ to_text('stream_id') }} as stream_id,
    platform,
    {{ field('params', 'ga_session_id') }} as ga_session_id,
    {{ field('params', 'ga_session_number') }} as ga_session_number,
    coalesce(batch_page_id, 0) as batch_page_id,
    coalesce(batch_ordering_id, 0) as batch_ordering_id,
    coalesce(batch_event_index, 0) as batch_event_index,
    {{ field('params', 'page_location') }} as page_location,
    {{ field('params', 'page_referrer') }} as page_referrer,
    {{ field('params', 'page_title') }} as page_title,
    {{ field('params', 'engagement_time_msec') }} as engagement_time_msec,
    coalesce({{ field('params', 'session_engaged') }} = '1', false)
        or coalesce({{ field('params', 'engaged_session_event') }} = '1', false) as is_session_engaged,
    coalesce(lower({{ field('params', 'ignore_referrer') }}) = 'true', false) as ignore_referrer,
    {{ field('collected_traffic_source', 'manual_source') }} as collected_source,
    {{ field('collected_traffic_source', 'manual_medium') }} as collected_medium,
    {{ field('collected_traffic_source', 'manual_campaign_name') }} as collected_campaign,
    {{ field('collected_traffic_source', 'manual_term') }} as collected_term,
    {{ field('collected_traffic_source', 'manual_content') }} as collected_content,
    {{ field('collected_traffic_source', 'gclid') }} as collected_gclid,
    {{ field('collected_traffic_source', 'dclid') }} as collected_dclid,
    {{ field('collected_traffic_source', 'srsltid') }} as collected_srsltid,
    {{ field('params', 'source') }} as param_source,
    {{ field('params', 'medium') }} as param_medium,
    {{ field('params', 'campaign') }} as param_campaign,
    {{ field('params', 'term') }} as param_term,
    {{ field('params', 'content') }} as param_content,
    {{ field('params', 'gclid') }} as param_gclid,
    {{ field('ecommerce', 'transaction_id') }} as ecommerce_transaction_id,
    {{ field('params', 'transaction_id') }} as param_transaction_id,
    {{ field('ecommerce', 'purchase_revenue_in_usd') }} as purchase_revenue_in_usd,
    {{ field('ecommerce', 'purchase_revenue') }} as purchase_revenue,
    {{ field('ecommerce', 'refund_value_in_usd') }} as refund_value_in_usd,
    {{ field('ecommerce', 'refund_value') }} as refund_value,
    event_value_in_usd,
    {{ field('params', 'value') }} as param_value,
    {{ field('params', 'currency') }} as param_currency,
    {{ field('traffic_source', 'source') }} as first_user_source,
    {{ field('traffic_source', 'medium') }} as first_user_medium,
    {{ field('traffic_source', 'name') }} as first_user_campaign,
    {{ field(field('session_traffic_source_last_click', 'cross_channel_campaign'), 'source') }} as last_click_source,
    {{ field(field('session_traffic_source_last_click', 'cross_channel_campaign'), 'medium') }} as last_click_medium,
    {{ field(field('session_traffic_source_last_click', 'cross_channel_campaign'), 'campaign_name') }}
        as last_click_campaign,
    {{ field(field('session_traffic_source_last_click', 'cross_channel_campaign'), 'default_channel_group') }}
        as last_click_channel,
    {{ field('device', 'category') }} as device_category,
    {{ field('geo', 'country') }} as country,
    user_first_touch_timestamp,
    origin
from typed

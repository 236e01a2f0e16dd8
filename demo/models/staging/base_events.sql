{{ config(materialized='view', meta={'live': {'key': 'event_date'}}) }}

{%- set columns = [
    'event_date', 'event_timestamp', 'event_name', 'event_params', 'event_value_in_usd', 'user_id', 'user_pseudo_id',
    'user_first_touch_timestamp', 'device', 'geo', 'traffic_source', 'stream_id', 'platform', 'ecommerce', 'items',
    'collected_traffic_source', 'batch_page_id', 'batch_ordering_id', 'batch_event_index',
    'session_traffic_source_last_click'
] | join(', events.') %}
{%- set has_intraday = has_feed('ga4_intraday') | trim == 'yes' %}
{%- set has_stream = has_feed('live_stream') | trim == 'yes' %}

with
{%- if has_intraday or has_stream %}

-- One authority per day: daily, else intraday, else stream [2.25].
daily_days as (

    select distinct events.event_date
    from {{ ga4_rows(source('ga4', 'events')) }} as events

),
{%- endif %}
{%- if has_intraday and has_stream %}

better_days as (

    select event_date from daily_days
    union all
    select distinct events.event_date
    from {{ ga4_rows(source('ga4', 'events_intraday')) }} as events

),
{%- endif %}

feeds as (

    select events.{{ columns }}, 'daily' as origin
    from {{ ga4_rows(source('ga4', 'events')) }} as events
    {%- if has_intraday %}

    union all

    select events.{{ columns }}, 'intraday' as origin
    {{ from_other_days(source('ga4', 'events_intraday'), 'daily_days') }}
    {%- endif %}
    {%- if has_stream %}

    union all

    select events.{{ columns }}, 'stream' as origin
    {{ from_other_days(source('live', 'events_stream'), 'better_days' if has_intraday else 'daily_days') }}
    {%- endif %}

),

typed as (

    select
        feeds.*,
        {{ ga4_params('event_params', [
            'ga_session_id:int', 'ga_session_number:int', 'session_engaged:string', 'engaged_session_event:string',
            'engagement_time_msec:int', 'page_location:string', 'page_referrer:string', 'page_title:string',
            'ignore_referrer:string', 'source:string', 'medium:string', 'campaign:string', 'term:string',
            'content:string', 'gclid:string', 'transaction_id:string', 'value:number', 'currency:string'
        ]) }} as params
    from feeds

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

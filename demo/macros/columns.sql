{# Columns that several models pass on. #}

{% macro stg_event_columns() -%}
event_date, event_timestamp, event_name, event_key, person_key, user_pseudo_id, user_id, stream_id, platform, ga_session_id, ga_session_number, batch_page_id, batch_ordering_id, batch_event_index, page_location, page_referrer, page_title, engagement_time_msec, is_session_engaged, evidence_class, source, medium, campaign, click_id, term, content, referrer_dropped, param_source, param_medium, param_campaign, transaction_id, revenue, currency, first_user_source, first_user_medium, first_user_campaign, last_click_source, last_click_medium, last_click_campaign, last_click_channel, device_category, country, user_first_touch_timestamp, origin
{%- endmacro %}

{#
  Those in which two copies of one event can differ. The first line differs only between copies that carry an id of the
  sender's own: of these the earliest wins.
#}
{% macro copy_order() -%}
event_timestamp, batch_page_id, batch_ordering_id, batch_event_index, ga_session_id, ga_session_number, is_session_engaged, page_location, param_source, param_medium, param_campaign, user_id, transaction_id, revenue, source, medium, campaign, click_id, term, content, evidence_class, currency, platform, first_user_source, first_user_medium, first_user_campaign, last_click_source, last_click_medium, last_click_campaign, last_click_channel, device_category, country, user_first_touch_timestamp, origin, page_referrer, page_title, engagement_time_msec, referrer_dropped
{%- endmacro %}

{# What later models need of an event. #}
{% macro session_event_columns() -%}
event_date, event_timestamp, event_name, event_key, person_key, user_pseudo_id, user_id, stream_id, ga_session_id, ga_session_number, batch_page_id, batch_ordering_id, batch_event_index, page_location, is_session_engaged, evidence_class, source, medium, campaign, click_id, referrer_dropped, param_source, param_medium, param_campaign, transaction_id, revenue, currency, first_user_source, first_user_medium, first_user_campaign, last_click_source, last_click_medium, last_click_campaign, device_category, country
{%- endmacro %}

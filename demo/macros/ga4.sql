{# Reading the nested GA4 export. The embedded engine has a function for each; others get SQL that does the same. #}

{#
  A source with all columns that the models read. Exports differ by age and by what was null in them: columns and
  struct fields are matched by name, missing ones are null, odd types are cast.
#}
{% macro ga4_rows(relation) %}{{ adapter.dispatch('ga4_rows')(relation) }}{% endmacro %}
{% macro default__ga4_rows(relation) %}{{ relation }}{% endmacro %}
{% macro duckdb__ga4_rows(relation) -%}
(
    select
        null::varchar as event_date,
        null::bigint as event_timestamp,
        null::varchar as event_name,
        null::struct(
            key varchar,
            value struct(string_value varchar, int_value bigint, float_value double, double_value double)
        )[] as event_params,
        null::double as event_value_in_usd,
        null::varchar as user_id,
        null::varchar as user_pseudo_id,
        null::bigint as user_first_touch_timestamp,
        null::struct(category varchar) as device,
        null::struct(country varchar) as geo,
        null::struct(source varchar, medium varchar, name varchar) as traffic_source,
        null::varchar as stream_id,
        null::varchar as platform,
        null::struct(
            transaction_id varchar, purchase_revenue_in_usd double, purchase_revenue double,
            refund_value_in_usd double, refund_value double
        ) as ecommerce,
        null::struct(
            item_id varchar, item_name varchar, quantity bigint, price double, item_revenue double
        )[] as items,
        null::struct(
            manual_source varchar, manual_medium varchar, manual_campaign_name varchar, manual_term varchar,
            manual_content varchar, gclid varchar, dclid varchar, srsltid varchar
        ) as collected_traffic_source,
        null::bigint as batch_page_id,
        null::bigint as batch_ordering_id,
        null::bigint as batch_event_index,
        null::struct(
            cross_channel_campaign struct(
                source varchar, medium varchar, campaign_name varchar, default_channel_group varchar
            )
        ) as session_traffic_source_last_click
    where false
    union all by name
    select * from {{ relation }}
)
{%- endmacro %}

{# Is there such a feed? The embedded engine has all of them, empty where there is nothing. #}
{% macro has_feed(name) %}{{ adapter.dispatch('has_feed')(name) }}{% endmacro %}
{% macro default__has_feed(name) %}{% if var(name) %}yes{% endif %}{% endmacro %}

{#
  A struct with one field per `key:type` in one pass over the list; the first param of a name wins.
  string: any variant as text. int: int_value, digits, an integral double. number: any variant as DOUBLE.
#}
{% macro ga4_params(params, wanted) %}{{ adapter.dispatch('ga4_params')(params, wanted) }}{% endmacro %}
{% macro clicktrail__ga4_params(params, wanted) -%}
ga4_params(
    {{ params }}
    {%- for item in wanted %},
    '{{ item }}'
    {%- endfor %}
)
{%- endmacro %}
{% macro duckdb__ga4_params(params, wanted) -%}
struct_pack(
    {%- for item in wanted %}
    {%- set key = item.split(':')[0] %}
    {%- set value = params ~ "[list_position(list_transform(" ~ params ~ ", lambda p: p.key), '" ~ key ~ "')].value" %}
    {{ key }} := {{ duckdb_param_value(value, item.split(':')[1]) }}{% if not loop.last %},{% endif %}
    {%- endfor %}
)
{%- endmacro %}
{% macro duckdb_param_value(value, type) -%}
{%- if type == 'int' -%}
coalesce(
        {{ value }}.int_value,
        case when regexp_full_match({{ value }}.string_value, '\s*[+-]?[0-9]+\s*') then try_cast({{ value }}.string_value as bigint) end,
        case when {{ value }}.double_value = trunc({{ value }}.double_value) then try_cast({{ value }}.double_value as bigint) end
    )
{%- elif type == 'number' -%}
coalesce(
        {{ value }}.double_value, {{ value }}.float_value, cast({{ value }}.int_value as double),
        try_cast({{ value }}.string_value as double)
    )
{%- else -%}
coalesce(
        {{ value }}.string_value,
        cast({{ value }}.int_value as varchar),
        case
            when {{ value }}.double_value = trunc({{ value }}.double_value) and abs({{ value }}.double_value) < 9007199254740992
                then cast(cast({{ value }}.double_value as bigint) as varchar)
            else cast({{ value }}.double_value as varchar)
        end
    )
{%- endif -%}
{%- endmacro %}
{% macro bigquery__ga4_params(params, wanted) -%}
struct(
    {%- for item in wanted %}
    {%- set key = item.split(':')[0] %}
    (
        select
            {%- if item.split(':')[1] == 'int' %}
            coalesce(value.int_value, safe_cast(value.string_value as int64), safe_cast(value.double_value as int64))
            {%- elif item.split(':')[1] == 'number' %}
            coalesce(value.double_value, value.float_value, value.int_value, safe_cast(value.string_value as float64))
            {%- else %}
            coalesce(value.string_value, cast(value.int_value as string), cast(value.double_value as string))
            {%- endif %}
        from unnest({{ params }}) with offset as position
        where key = '{{ key }}'
        order by position
        limit 1
    ) as {{ key }}{% if not loop.last %},{% endif %}
    {%- endfor %}
)
{%- endmacro %}

{# The 128-bit key of an event [2.19]; the rendering is defined in docs/models.md. #}
{% macro ga4_event_key(ga_session_id) %}{{ adapter.dispatch('ga4_event_key')(ga_session_id) }}{% endmacro %}
{% macro clicktrail__ga4_event_key(ga_session_id) -%}
ga4_event_key(
    '{{ var("property_id") }}', stream_id, user_pseudo_id, {{ ga_session_id }}, event_name, event_timestamp,
    batch_page_id, batch_ordering_id, batch_event_index, event_params, items
)
{%- endmacro %}
{% macro duckdb__ga4_event_key(ga_session_id) -%}
md5(concat(
    {{ prefixed("'" ~ var('property_id') ~ "'") }},
    {{ prefixed('stream_id') }},
    {{ prefixed('user_pseudo_id') }},
    {{ prefixed('cast(' ~ ga_session_id ~ ' as varchar)') }},
    {{ prefixed('event_name') }},
    {{ prefixed('cast(event_timestamp as varchar)') }},
    {{ prefixed('cast(batch_page_id as varchar)') }},
    {{ prefixed('cast(batch_ordering_id as varchar)') }},
    {{ prefixed('cast(batch_event_index as varchar)') }},
    array_to_string(list_sort(list_transform(event_params, lambda p: concat(
        coalesce(strlen(p.key) || ':' || p.key, '-'),
        coalesce(
            's' || strlen(p.value.string_value) || ':' || p.value.string_value,
            'i' || p.value.int_value,
            'd' || try_cast(round(coalesce(p.value.double_value, p.value.float_value) * 1000000) as bigint),
            'n'
        )
    ))), ''),
    array_to_string(list_transform(items, lambda i: concat(
        coalesce(strlen(i.item_id) || ':' || i.item_id, '-'),
        coalesce(strlen(i.item_name) || ':' || i.item_name, '-'),
        coalesce('i' || i.quantity, '-'),
        coalesce('d' || try_cast(round(i.price * 1000000) as bigint), 'n'),
        coalesce('d' || try_cast(round(i.item_revenue * 1000000) as bigint), 'n')
    )), '')
))
{%- endmacro %}

{# Campaign parameters and click ids of an address: decoded, the last value of a key wins, empty is null [2.10]. #}
{% macro ga4_url_params(url) %}{{ adapter.dispatch('ga4_url_params')(url) }}{% endmacro %}
{% macro clicktrail__ga4_url_params(url) %}ga4_url_params({{ url }}){% endmacro %}
{% macro duckdb__ga4_url_params(url) -%}
{%- set names = [
    'utm_source', 'utm_medium', 'utm_campaign', 'utm_id', 'utm_term', 'utm_content',
    'gclid', 'gbraid', 'wbraid', 'gclsrc', 'dclid', 'msclkid', 'srsltid', 'fbclid'
] -%}
{# Lambdas over one-element lists bind a value once: pairs, then their keys. -#}
case when strpos({{ url }}, '?') > 0 then list_transform(
    [list_reverse(string_split_regex(substr({{ url }}, strpos({{ url }}, '?') + 1), '[&#?]'))],
    lambda pairs: list_transform(
        [list_transform(pairs, lambda pair: lower(split_part(pair, '=', 1)))],
        lambda keys: struct_pack(
            {%- for name in names %}
            {{ name }} := {{ duckdb_decoded("nullif(substr(pairs[list_position(keys, '" ~ name ~ "')], " ~ (name | length + 2) ~ "), '')") }}{% if not loop.last %},{% endif %}
            {%- endfor %}
        )
    )[1]
)[1] end
{%- endmacro %}
{% macro duckdb_decoded(text) -%}
coalesce(try(url_decode(replace({{ text }}, '+', ' '))), {{ text }})
{%- endmacro %}

{# Lower-case host without port, user and leading `www.`; null when the address is not http(s). #}
{% macro url_host(url) %}{{ adapter.dispatch('url_host')(url) }}{% endmacro %}
{% macro clicktrail__url_host(url) %}url_host({{ url }}){% endmacro %}
{% macro duckdb__url_host(url) -%}
nullif(regexp_extract(lower({{ url }}), '^https?://(?:[^/?#]*@)?(?:www\.)?([^/?#:]+)', 1), '')
{%- endmacro %}
{% macro bigquery__url_host(url) -%}
regexp_extract(lower({{ url }}), r'^https?://(?:[^/?#]*@)?(?:www\.)?([^/?#:]+)')
{%- endmacro %}

{# Is the host one of these domains or below one? By suffix, never by substring [2.8]. #}
{% macro host_matches(host, domains) %}{{ adapter.dispatch('host_matches')(host, domains) }}{% endmacro %}
{% macro clicktrail__host_matches(host, domains) %}host_matches({{ host }}, '{{ domains | join(",") }}'){% endmacro %}
{% macro default__host_matches(host, domains) -%}
{%- if domains -%}
(
    {{ host }} in ({% for domain in domains %}'{{ domain }}'{% if not loop.last %}, {% endif %}{% endfor %})
    {%- for domain in domains %}
    or ends_with({{ host }}, '.{{ domain }}')
    {%- endfor %}
)
{%- else -%}
false
{%- endif -%}
{%- endmacro %}

{# The same for a domain that is a column. #}
{% macro host_within(host, domain) %}({{ host }} = {{ domain }} or ends_with({{ host }}, '.' || {{ domain }})){% endmacro %}

{# Does a record name the site itself, or a payment or sign-in hop, as its referrer [2.8]? Never null. #}
{% macro is_own_referral(source, medium) -%}
case
    when lower(trim({{ medium }})) = 'referral' then coalesce(
        {{ host_within('lower(trim(' ~ source ~ '))', 'page_host') }}
        or {{ host_within('page_host', 'lower(trim(' ~ source ~ '))') }}
        or {{ host_matches('lower(trim(' ~ source ~ '))', var('own_domains') + var('referral_exclusions')) }},
        false
    )
    else false
end
{%- endmacro %}

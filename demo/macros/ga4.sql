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

{#
  BigQuery: constants on _TABLE_SUFFIX, so that only the wanted days are read and paid for. Suffixes of letters
  (`intraday_…`) come after all digits and stay outside. The schema of a wildcard is that of its newest table: columns
  that it lacks are named in the var `ga4_missing_columns` and are null.
#}
{% macro bigquery__ga4_rows(relation) -%}
{%- set missing = var('ga4_missing_columns').get(relation.identifier, []) -%}
(
    select
        {{ bigquery_column('event_date', 'string', missing) }},
        {{ bigquery_column('event_timestamp', 'int64', missing) }},
        {{ bigquery_column('event_name', 'string', missing) }},
        shards.event_params,
        {{ bigquery_column('event_value_in_usd', 'float64', missing) }},
        {{ bigquery_column('user_id', 'string', missing) }},
        {{ bigquery_column('user_pseudo_id', 'string', missing) }},
        {{ bigquery_column('user_first_touch_timestamp', 'int64', missing) }},
        {{ bigquery_struct('device', [['category', 'string']], missing) }} as device,
        {{ bigquery_struct('geo', [['country', 'string']], missing) }} as geo,
        {{ bigquery_struct('traffic_source', [['source', 'string'], ['medium', 'string'], ['name', 'string']], missing) }} as traffic_source,
        {{ bigquery_column('stream_id', 'string', missing) }},
        {{ bigquery_column('platform', 'string', missing) }},
        {{ bigquery_struct('ecommerce', [
            ['transaction_id', 'string'], ['purchase_revenue_in_usd', 'float64'], ['purchase_revenue', 'float64'],
            ['refund_value_in_usd', 'float64'], ['refund_value', 'float64']
        ], missing) }} as ecommerce,
        shards.items,
        {{ bigquery_struct('collected_traffic_source', [
            ['manual_source', 'string'], ['manual_medium', 'string'], ['manual_campaign_name', 'string'],
            ['manual_term', 'string'], ['manual_content', 'string'], ['gclid', 'string'], ['dclid', 'string'],
            ['srsltid', 'string']
        ], missing) }} as collected_traffic_source,
        {{ bigquery_column('batch_page_id', 'int64', missing) }},
        {{ bigquery_column('batch_ordering_id', 'int64', missing) }},
        {{ bigquery_column('batch_event_index', 'int64', missing) }},
        struct(
            {{ bigquery_struct('session_traffic_source_last_click.cross_channel_campaign', [
                ['source', 'string'], ['medium', 'string'], ['campaign_name', 'string'],
                ['default_channel_group', 'string']
            ], missing) }} as cross_channel_campaign
        ) as session_traffic_source_last_click
    from {{ relation }} as shards
    {%- if relation.identifier.endswith('*') %}
    where _TABLE_SUFFIX between '{{ var('ga4_from') or '00000000' }}' and '{{ var('ga4_to') or '99999999' }}'
    {%- endif %}
)
{%- endmacro %}
{% macro bigquery_struct(path, fields, missing) -%}
struct(
            {%- for item in fields %}
            {{ bigquery_leaf(path ~ '.' ~ item[0], item[1], missing) }} as {{ item[0] }}{% if not loop.last %},{% endif %}
            {%- endfor %}
        )
{%- endmacro %}
{% macro bigquery_column(name, type, missing) %}{{ bigquery_leaf(name, type, missing) }} as {{ name }}{% endmacro %}
{% macro bigquery_leaf(path, type, missing) -%}
{%- set ns = namespace(missing=false, above='') -%}
{%- for part in path.split('.') -%}
{%- set ns.above = ns.above ~ ('.' if ns.above else '') ~ part -%}
{%- if ns.above in missing -%}{%- set ns.missing = true -%}{%- endif -%}
{%- endfor -%}
cast({{ 'null' if ns.missing else 'shards.' ~ path }} as {{ type }})
{%- endmacro %}

{# The `events` of a feed on days that are not among `days`: a right join streams them, with the few days in memory. #}
{% macro from_other_days(relation, days) -%}
from {{ days }} as taken
    right join {{ ga4_rows(relation) }} as events
        on taken.event_date = events.event_date
    where taken.event_date is null
{%- endmacro %}

{# Is there such a feed? #}
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
(
    select struct(
        {%- for item in wanted %}
        {{ bigquery_param_value('firsts.' ~ item.split(':')[0], item.split(':')[1]) }} as {{ item.split(':')[0] }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    )
    from (
        select
            {%- for item in wanted %}
            min_by(ep.value, if(ep.key = '{{ item.split(':')[0] }}', position, null)) as {{ item.split(':')[0] }}{% if not loop.last %},{% endif %}
            {%- endfor %}
        from unnest({{ params }}) as ep with offset as position
    ) as firsts
)
{%- endmacro %}
{% macro bigquery_param_value(value, type) -%}
{%- if type == 'int' -%}
coalesce(
            {{ value }}.int_value,
            if(
                regexp_contains({{ value }}.string_value, r'^\s*[+-]?[0-9]+\s*$'),
                safe_cast(trim({{ value }}.string_value) as int64), null
            ),
            if({{ value }}.double_value = trunc({{ value }}.double_value), safe_cast({{ value }}.double_value as int64), null)
        )
{%- elif type == 'number' -%}
coalesce(
            {{ value }}.double_value, {{ value }}.float_value, cast({{ value }}.int_value as float64),
            safe_cast({{ value }}.string_value as float64)
        )
{%- else -%}
coalesce(
            {{ value }}.string_value,
            cast({{ value }}.int_value as string),
            if(
                {{ value }}.double_value = trunc({{ value }}.double_value) and abs({{ value }}.double_value) < 9007199254740992,
                cast(cast({{ value }}.double_value as int64) as string),
                cast({{ value }}.double_value as string)
            )
        )
{%- endif -%}
{%- endmacro %}

{#
  The 128-bit key of an event [2.19]; the rendering is defined in docs/models.md. An id of the sender's own, the param
  clicktrail_event_id, stands for all but property, stream, visitor, name and day.
#}
{% macro ga4_event_key(ga_session_id) %}{{ adapter.dispatch('ga4_event_key')(ga_session_id) }}{% endmacro %}
{% macro clicktrail__ga4_event_key(ga_session_id) -%}
ga4_event_key(
    '{{ var("property_id") }}', stream_id, user_pseudo_id, {{ ga_session_id }}, event_name, event_timestamp,
    batch_page_id, batch_ordering_id, batch_event_index, event_date, event_params, items
)
{%- endmacro %}
{% macro duckdb__ga4_event_key(ga_session_id) -%}
{%- set id = "event_params[list_position(list_transform(event_params, lambda p: p.key), 'clicktrail_event_id')].value.string_value" -%}
case when {{ id }} is not null then
    md5(concat({{ ga4_event_id_rendering('stream_id', id) }}))
else
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
end
{%- endmacro %}

{% macro bigquery__ga4_event_key(ga_session_id) -%}
{%- set id = "(select min_by(ep.value.string_value, position) from unnest(event_params) as ep with offset as position where ep.key = 'clicktrail_event_id')" -%}
to_hex(md5(if({{ id }} is not null,
    concat({{ ga4_event_id_rendering('cast(stream_id as string)', id) }}),
    concat(
        {{ prefixed("'" ~ var('property_id') ~ "'") }},
        {{ prefixed('cast(stream_id as string)') }},
        {{ prefixed('user_pseudo_id') }},
        {{ prefixed('cast(' ~ ga_session_id ~ ' as string)') }},
        {{ prefixed('event_name') }},
        {{ prefixed('cast(event_timestamp as string)') }},
        {{ prefixed('cast(batch_page_id as string)') }},
        {{ prefixed('cast(batch_ordering_id as string)') }},
        {{ prefixed('cast(batch_event_index as string)') }},
        array_to_string(array(
            select concat(
                {{ prefixed('ep.key') }},
                coalesce(
                    's' || cast(byte_length(ep.value.string_value) as string) || ':' || ep.value.string_value,
                    'i' || cast(ep.value.int_value as string),
                    {{ bigquery_micros('coalesce(ep.value.double_value, ep.value.float_value)') }}
                )
            ) as rendered
            from unnest(event_params) as ep
            order by rendered
        ), ''),
        array_to_string(array(
            select concat(
                {{ prefixed('item.item_id') }},
                {{ prefixed('item.item_name') }},
                coalesce('i' || cast(item.quantity as string), '-'),
                {{ bigquery_micros('item.price') }},
                {{ bigquery_micros('item.item_revenue') }}
            )
            from unnest(items) as item with offset as position
            order by position
        ), '')
    )
)))
{%- endmacro %}
{# What is hashed of an event with an id of its sender's own: absent values in the place of all else. #}
{% macro ga4_event_id_rendering(stream_id, id) -%}
{{ prefixed("'" ~ var('property_id') ~ "'") }}, {{ prefixed(stream_id) }}, {{ prefixed('user_pseudo_id') }}, '-', {{ prefixed('event_name') }}, {{ prefixed('event_date') }}, '---19:clicktrail_event_ids', {{ prefixed(id) }}
{%- endmacro %}
{% macro bigquery_micros(value) -%}
coalesce('d' || cast(safe_cast(round({{ value }} * 1000000) as int64) as string), 'n')
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

{#
  BigQuery has no function that decodes an address. The values, joined by U+0001, become pieces; the pieces become
  hexadecimal text, each value of which is read as UTF-8. A value that is none stays as it was.
#}
{% macro bigquery__ga4_url_params(url) -%}
{%- set names = [
    'utm_source', 'utm_medium', 'utm_campaign', 'utm_id', 'utm_term', 'utm_content',
    'gclid', 'gbraid', 'wbraid', 'gclsrc', 'dclid', 'msclkid', 'srsltid', 'fbclid'
] -%}
{%- set query = "replace(substr(" ~ url ~ ", strpos(" ~ url ~ ", '?') + 1), chr(1), '')" -%}
if(strpos({{ url }}, '?') > 0, (
    select struct(
        {%- for name in names %}
        {{ bigquery_decoded('parts.raws[offset(' ~ loop.index0 ~ ')]', 'parts.hexes[offset(' ~ loop.index0 ~ ')]') }} as {{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    )
    from (
        select
            split(raw, chr(1)) as raws,
            split((
                select string_agg(
                    case
                        when piece = chr(1) then ','
                        when piece = '+' then '20'
                        when length(piece) = 3 and starts_with(piece, '%') then lower(substr(piece, 2))
                        else to_hex(cast(piece as bytes))
                    end,
                    '' order by position
                )
                from unnest(regexp_extract_all(raw, concat(r'%[0-9a-fA-F]{2}|[+%]|', chr(1), r'|[^+%', chr(1), r']+'))) as piece
                    with offset as position
            ), ',') as hexes
        from (
            select concat(
                {%- for name in names %}
                {{ bigquery_last_value(query, name) }}{% if not loop.last %}, chr(1),{% endif %}
                {%- endfor %}
            ) as raw
        )
    ) as parts
), null)
{%- endmacro %}
{% macro bigquery_last_value(query, name) -%}
coalesce(regexp_extract({{ query }}, r'(?is)^(?:.*[&#?])?{{ name }}(?:=([^&#?]*))?(?:[&#?].*)?$'), '')
{%- endmacro %}
{% macro bigquery_decoded(raw, hex) -%}
nullif(if(
            to_hex(cast(safe_convert_bytes_to_string(from_hex({{ hex }})) as bytes)) = {{ hex }},
            safe_convert_bytes_to_string(from_hex({{ hex }})), {{ raw }}
        ), '')
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

{#
  Does a record, its columns prefixed by `record`, name the site itself (own_host), or a payment or sign-in hop (excluded), as its
  referrer [2.8]? Else null, also where its Google click id speaks for it [2.9].
#}
{% macro own_referral(record) -%}
{%- set site = 'lower(trim(' ~ record ~ '_source))' -%}
case
    when {{ usable(record ~ '_gclid') }} is not null
        and coalesce(lower({{ usable(record ~ '_campaign') }}), '(referral)') in ('(organic)', '(referral)') then null
    when lower(trim({{ record }}_medium)) = 'referral' then case
        when {{ host_within(site, 'page_host') }} or {{ host_within('page_host', site) }}
            or {{ host_matches(site, var('own_domains')) }} then 'own_host'
        when {{ is_sibling(site, 'page_host') }} then 'own_host'
        when {{ host_matches(site, var('referral_exclusions')) }} then 'excluded'
    end
end
{%- endmacro %}

{# Is this the medium that GA4 gives to a referrer, of an event whose referrer is to be ignored [2.8]? Never null. #}
{% macro is_ignored(medium) -%}
(coalesce(ignore_referrer, false) and coalesce(lower({{ medium }}), '') in ('referral', 'organic', 'ai-assistant'))
{%- endmacro %}

{#
  Have two hosts one registrable domain, as blog.shop.example and pay.shop.example have [2.8]? Not below a domain that is
  shared with strangers.
#}
{% macro is_sibling(host, page_host) -%}
({{ registrable_domain(host) }} = {{ registrable_domain(page_host) }} and not {{ host_matches(page_host, var('shared_domains')) }})
{%- endmacro %}

{#
  The last two labels of a host, or three where the last but one is general and the last a country, as in co.uk. Engines have no
  list of public suffixes; var `shared_domains` holds those that matter. An address of numbers is its own domain.
#}
{% macro registrable_domain(host) %}{{ adapter.dispatch('registrable_domain')(host) }}{% endmacro %}
{% macro clicktrail__registrable_domain(host) %}registrable_domain({{ host }}){% endmacro %}
{% macro default__registrable_domain(host) %}regexp_replace({{ host }}, '{{ registrable_pattern() }}', '\1'){% endmacro %}
{% macro bigquery__registrable_domain(host) %}regexp_replace({{ host }}, r'{{ registrable_pattern() }}', r'\1'){% endmacro %}
{% macro registrable_pattern() -%}
^(?:.*?[.])??([^.]+[.](?:(?:ac|co|com|edu|gob|gov|mil|ne|net|nom|or|org)[.][a-z][a-z]|[a-z][a-z0-9-]*))$
{%- endmacro %}

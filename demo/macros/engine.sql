{# What the engines spell differently. Models call these names only; each macro has one version per engine. #}

{# One field of a struct. #}
{% macro field(struct, name) %}{{ adapter.dispatch('field')(struct, name) }}{% endmacro %}
{% macro default__field(struct, name) %}{{ struct }}['{{ name }}']{% endmacro %}
{% macro bigquery__field(struct, name) %}{{ struct }}.{{ name }}{% endmacro %}

{% macro to_text(value) %}{{ adapter.dispatch('to_text')(value) }}{% endmacro %}
{% macro default__to_text(value) %}cast({{ value }} as varchar){% endmacro %}
{% macro bigquery__to_text(value) %}cast({{ value }} as string){% endmacro %}

{# A typed null, for columns that only some branches of a union have. #}
{% macro null_text() %}{{ to_text('null') }}{% endmacro %}

{# An amount as DECIMAL(18,6), rounded half away from zero from the float's shortest decimal. #}
{% macro money(value) %}{{ adapter.dispatch('money')(value) }}{% endmacro %}
{% macro clicktrail__money(value) %}money({{ value }}){% endmacro %}
{% macro duckdb__money(value) %}try_cast(cast({{ value }} as varchar) as decimal(18, 6)){% endmacro %}
{% macro bigquery__money(value) %}safe_cast(cast({{ value }} as string) as numeric(18, 6)){% endmacro %}

{# An exact amount as DECIMAL(18,6), as sums are wider. #}
{% macro amount(value) %}{{ adapter.dispatch('amount')(value) }}{% endmacro %}
{% macro default__amount(value) %}cast({{ value }} as decimal(18, 6)){% endmacro %}
{% macro bigquery__amount(value) %}safe_cast({{ value }} as numeric(18, 6)){% endmacro %}

{# An exact amount times an exact rate, rounded half away from zero to six digits. #}
{% macro exchanged(amount, rate) %}{{ adapter.dispatch('exchanged')(amount, rate) }}{% endmacro %}
{% macro default__exchanged(amount, rate) %}cast(({{ amount }}) * ({{ rate }}) as decimal(18, 6)){% endmacro %}
{% macro bigquery__exchanged(amount, rate) %}round(({{ amount }}) * ({{ rate }}), 6){% endmacro %}

{# The type of exact amounts. #}
{% macro money_type() %}{{ adapter.dispatch('money_type')() }}{% endmacro %}
{% macro default__money_type() %}decimal(18, 6){% endmacro %}
{% macro bigquery__money_type() %}numeric{% endmacro %}

{# The type of rates. #}
{% macro float_type() %}{{ adapter.dispatch('float_type')() }}{% endmacro %}
{% macro default__float_type() %}double{% endmacro %}
{% macro bigquery__float_type() %}float64{% endmacro %}

{# `YYYYMMDD` as DATE. #}
{% macro export_date(text) %}{{ adapter.dispatch('export_date')(text) }}{% endmacro %}
{% macro clicktrail__export_date(text) %}to_date({{ text }}, '%Y%m%d'){% endmacro %}
{% macro duckdb__export_date(text) %}cast(strptime({{ text }}, '%Y%m%d') as date){% endmacro %}
{% macro bigquery__export_date(text) %}parse_date('%Y%m%d', {{ text }}){% endmacro %}

{# Microseconds since 1970 as a UTC timestamp without zone. #}
{% macro utc_timestamp(micros) %}{{ adapter.dispatch('utc_timestamp')(micros) }}{% endmacro %}
{% macro clicktrail__utc_timestamp(micros) %}utc_timestamp({{ micros }}){% endmacro %}
{% macro duckdb__utc_timestamp(micros) %}make_timestamp({{ micros }}){% endmacro %}
{% macro bigquery__utc_timestamp(micros) %}timestamp_micros({{ micros }}){% endmacro %}

{# The wall clock of the property [2.23]. #}
{% macro local_timestamp(micros) %}{{ adapter.dispatch('local_timestamp')(micros, var('timezone')) }}{% endmacro %}
{% macro clicktrail__local_timestamp(micros, zone) %}local_timestamp({{ micros }}, '{{ zone }}'){% endmacro %}
{% macro duckdb__local_timestamp(micros, zone) %}timezone('{{ zone }}', make_timestamptz({{ micros }})){% endmacro %}
{% macro bigquery__local_timestamp(micros, zone) %}datetime(timestamp_micros({{ micros }}), '{{ zone }}'){% endmacro %}

{% macro local_date(micros) %}{{ adapter.dispatch('local_date')(micros, var('timezone')) }}{% endmacro %}
{% macro clicktrail__local_date(micros, zone) %}local_date({{ micros }}, '{{ zone }}'){% endmacro %}
{% macro duckdb__local_date(micros, zone) %}cast(timezone('{{ zone }}', make_timestamptz({{ micros }})) as date){% endmacro %}
{% macro bigquery__local_date(micros, zone) %}date(timestamp_micros({{ micros }}), '{{ zone }}'){% endmacro %}

{# The instant at which a local day begins. #}
{% macro local_midnight_micros(date) %}{{ adapter.dispatch('local_midnight_micros')(date, var('timezone')) }}{% endmacro %}
{% macro clicktrail__local_midnight_micros(date, zone) %}local_midnight_micros({{ date }}, '{{ zone }}'){% endmacro %}
{% macro duckdb__local_midnight_micros(date, zone) %}epoch_us(timezone('{{ zone }}', cast({{ date }} as timestamp))){% endmacro %}
{% macro bigquery__local_midnight_micros(date, zone) %}unix_micros(timestamp({{ date }}, '{{ zone }}')){% endmacro %}

{# Trimmed text, null where it is a placeholder for nothing [2.7]. #}
{% macro usable(text) %}{{ adapter.dispatch('usable')(text) }}{% endmacro %}
{% macro clicktrail__usable(text) %}usable({{ text }}){% endmacro %}
{% macro default__usable(text) -%}
case
    when lower(trim({{ text }})) in ('', '(not set)', 'undefined', 'null', '(data not available)') then null
    else trim({{ text }})
end
{%- endmacro %}

{# Has a record, its columns prefixed by `record`, a source, medium or campaign that is no placeholder [2.7]? #}
{% macro says_anything(record) -%}
coalesce({{ usable(record ~ '_source') }}, {{ usable(record ~ '_medium') }}, {{ usable(record ~ '_campaign') }}) is not null
{%- endmacro %}

{# md5 over length-prefixed texts: ('ab', 'c') and ('a', 'bc') differ [2.19]. #}
{% macro hash_key(parts) %}{{ adapter.dispatch('hash_key')(parts) }}{% endmacro %}
{% macro clicktrail__hash_key(parts) %}hash_key({{ parts | join(', ') }}){% endmacro %}
{% macro duckdb__hash_key(parts) -%}
md5(concat({% for part in parts %}{{ prefixed(part) }}{% if not loop.last %}, {% endif %}{% endfor %}))
{%- endmacro %}
{% macro bigquery__hash_key(parts) -%}
to_hex(md5(concat({% for part in parts %}{{ prefixed(part) }}{% if not loop.last %}, {% endif %}{% endfor %})))
{%- endmacro %}

{# `<byte length>:<text>`, or `-` for null. #}
{% macro prefixed(text) %}{{ adapter.dispatch('prefixed')(text) }}{% endmacro %}
{% macro clicktrail__prefixed(text) %}coalesce(cast(octet_length({{ text }}) as varchar) || ':' || {{ text }}, '-'){% endmacro %}
{% macro duckdb__prefixed(text) %}coalesce(strlen({{ text }}) || ':' || {{ text }}, '-'){% endmacro %}
{% macro bigquery__prefixed(text) %}coalesce(cast(byte_length({{ text }}) as string) || ':' || {{ text }}, '-'){% endmacro %}

{#
  The value of the first (last) row of a group by an order, null values included; `rows` says which rows count.
  `order` is columns that are never null, separated by `, `.
#}
{% macro first_by(value, order, rows=none) %}{{ adapter.dispatch('first_by')(value, order, rows) }}{% endmacro %}
{% macro clicktrail__first_by(value, order, rows) -%}
first_by({{ value }}, {{ order }}){% if rows %} filter (where {{ rows }}){% endif %}
{%- endmacro %}
{% macro duckdb__first_by(value, order, rows) -%}
first({{ value }} order by {{ order }}){% if rows %} filter (where {{ rows }}){% endif %}
{%- endmacro %}
{% macro bigquery__first_by(value, order, rows) -%}
array_agg({{ among(value, rows) }} order by {% if rows %}if({{ rows }}, 0, 1), {% endif %}{{ order }} limit 1)[offset(0)]
{%- endmacro %}

{% macro last_by(value, order, rows=none) %}{{ adapter.dispatch('last_by')(value, order, rows) }}{% endmacro %}
{% macro clicktrail__last_by(value, order, rows) -%}
last_by({{ value }}, {{ order }}){% if rows %} filter (where {{ rows }}){% endif %}
{%- endmacro %}
{% macro duckdb__last_by(value, order, rows) -%}
last({{ value }} order by {{ order }}){% if rows %} filter (where {{ rows }}){% endif %}
{%- endmacro %}
{% macro bigquery__last_by(value, order, rows) -%}
array_agg({{ among(value, rows) }} order by {% if rows %}if({{ rows }}, 0, 1), {% endif %}{{ order | replace(', ', ' desc, ') }} desc limit 1)[offset(0)]
{%- endmacro %}

{# BigQuery's aggregates have no filter: rows that don't count come last, and are null where no row counts. #}
{% macro among(value, rows) %}{% if rows %}if({{ rows }}, {{ value }}, null){% else %}{{ value }}{% endif %}{% endmacro %}

{# The texts of a group in an order, each with its length: no name can break it [2.29]. #}
{% macro joined_path(text, order) -%}
string_agg({{ prefixed(text) }}, '' order by {{ order }})
{%- endmacro %}

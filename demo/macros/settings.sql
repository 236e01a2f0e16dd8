{# Vars as SQL. #}

{# A list var as quoted texts: 'a', 'b'. #}
{% macro quoted(values) -%}
{% for value in values %}'{{ value | replace("'", "''") }}'{% if not loop.last %}, {% endif %}{% endfor %}
{%- endmacro %}

{# Days that a conversion of this event looks back [2.14]. #}
{% macro lookback_days(event_name) -%}
{%- set own = var('lookback_days_by_event') -%}
{%- if own -%}
case {{ event_name }}
    {%- for name in own %}
    when '{{ name }}' then {{ own[name] }}
    {%- endfor %}
    else {{ var('lookback_days') }}
end
{%- else -%}
{{ var('lookback_days') }}
{%- endif -%}
{%- endmacro %}

{# Who is one person across devices [2.26]. #}

{# Is a person one device? Any other name of a mode than the three is refused. #}
{% macro is_one_device() -%}
{%- set mode = var('identity') -%}
{%- if mode not in ['device', 'user_asof', 'user_retro'] -%}
{{ exceptions.raise_compiler_error("var `identity` is `" ~ mode ~ "`: use device, user_asof or user_retro") }}
{%- endif -%}
{{ 'yes' if mode == 'device' else 'no' }}
{%- endmacro %}

{# Up to when a conversion at `micros` takes note of sign-ins: its own time, in user_retro some days later. #}
{% macro known_until(micros) -%}
{{ micros }}{% if var('identity') == 'user_retro' %} + {{ var('identity_retro_days') }} * 86400000000{% endif %}
{%- endmacro %}

{# A login id, trimmed; null where it is a placeholder for nobody [2.26, 2.7]. #}
{% macro usable_user_id(text) -%}
case when lower({{ usable(text) }}) not in ('n/a', '0', 'none', 'anonymous') then {{ usable(text) }} end
{%- endmacro %}

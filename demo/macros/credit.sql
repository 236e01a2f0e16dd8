{#
  Dividing a conversion among touches, in whole numbers only, so that every engine gives the same digits and shares sum
  to the whole.
#}

{# Quotient of two whole numbers that are not negative, cut. In brackets of its own, for engines that make it an operator. #}
{% macro int_div(dividend, divisor) %}{{ adapter.dispatch('int_div')(dividend, divisor) }}{% endmacro %}
{% macro clicktrail__int_div(dividend, divisor) %}(({{ dividend }}) / ({{ divisor }})){% endmacro %}
{% macro duckdb__int_div(dividend, divisor) %}(({{ dividend }}) // ({{ divisor }})){% endmacro %}
{% macro bigquery__int_div(dividend, divisor) %}(div(({{ dividend }}), ({{ divisor }}))){% endmacro %}

{# Its remainder. #}
{% macro int_mod(dividend, divisor) %}{{ adapter.dispatch('int_mod')(dividend, divisor) }}{% endmacro %}
{% macro default__int_mod(dividend, divisor) %}(({{ dividend }}) % ({{ divisor }})){% endmacro %}
{% macro bigquery__int_mod(dividend, divisor) %}(mod(({{ dividend }}), ({{ divisor }}))){% endmacro %}

{# A whole number in 64 bits: sums of whole numbers are wider in some engines. #}
{% macro whole(value) %}cast({{ value }} as bigint){% endmacro %}

{# Millionths of an exact amount, and back. #}
{% macro to_micros(amount) %}{{ whole('(' ~ amount ~ ') * 1000000') }}{% endmacro %}
{% macro from_micros(micros) %}{{ adapter.dispatch('from_micros')(micros) }}{% endmacro %}
{% macro default__from_micros(micros) %}cast(cast({{ micros }} as decimal(18, 0)) * cast(0.000001 as decimal(7, 6)) as decimal(18, 6)){% endmacro %}
{% macro bigquery__from_micros(micros) %}(cast({{ micros }} as numeric) / 1000000){% endmacro %}

{#
  The part of an amount (millionths, not negative) that belongs to the first `micros` millionths of a conversion, cut.
  In two steps, since the product of both may not fit into 64 bits.
#}
{% macro amount_reached(amount, micros) -%}
({{ int_div(amount, 1000000) }} * {{ micros }} + {{ int_div(int_mod(amount, 1000000) ~ ' * ' ~ micros, 1000000) }})
{%- endmacro %}

{#
  The share of an amount (millionths, of any sign or null) between two bounds of a conversion. The split of -x mirrors that
  of x, so that a refund takes back what its order gave.
#}
{% macro amount_between(amount, lower, upper) -%}
(case when {{ amount }} < 0 then -1 else 1 end * (
    {{ amount_reached('abs(' ~ amount ~ ')', upper) }}
    - {{ amount_reached('abs(' ~ amount ~ ')', lower) }}
))
{%- endmacro %}

{#
  2^-x in ten-millionths, for x = `halvings` + `rest` / 10^9: a polynomial of degree 6 in whole numbers, within 4 · 10^-9 of
  the true value, exact at both ends, so that it falls without a step. Floats would do, but `exp` of two engines may
  differ in the last digit, and with it a credit.
#}
{% macro halved(halvings, rest) -%}
{%- set ns = namespace(bracket='109461') -%}
{%- for coefficient in [1276185, 9580924, 55491717, 240224599, 693147082] -%}
{%- set ns.bracket = '(' ~ coefficient ~ ' - ' ~ int_div(rest ~ ' * ' ~ ns.bracket, 1000000000) ~ ')' -%}
{%- endfor -%}
case
    when {{ halvings }} > 24 then 0
    else {{ int_div('1000000000 - ' ~ int_div(rest ~ ' * ' ~ ns.bracket, 1000000000), 100) }} >> {{ halvings }}
end
{%- endmacro %}

{#
  Weight of a touch that may have several parts to play: the first, the last, one at a milestone, else one among the others.
  The part of the others is divided equally among them; a part that nobody plays is left out, and what remains keeps
  its proportions [2.27]. Multiplied by the number of others, so that it stays whole.
#}
{% macro part_weight(first, last, other, milestone=none) -%}
{%- set others = 'greatest(touches - 2' ~ (" - case when milestone_at > 1 and milestone_at < touches then 1 else 0 end" if milestone is not none else '') ~ ', 0)' -%}
case
    when position = 1 or position = touches{% if milestone is not none %} or position = milestone_at{% endif %} then (
        case when position = 1 then {{ first }} else 0 end
        + case when position = touches then {{ last }} else 0 end
        {%- if milestone is not none %}
        + case when position = milestone_at then {{ milestone }} else 0 end
        {%- endif %}
    ) * greatest({{ others }}, 1)
    else {{ other }}
end
{%- endmacro %}

{#
  `part` of `whole`, held against `total`: total · part / whole, in whole numbers that are not negative; `part` is at most
  `whole` and taken to a billionth of it, so that products fit; all of it is all of the total.
#}
{% macro proportion(part, total, whole) -%}
(case
    when {{ part }} = {{ whole }} then {{ total }}
    when {{ total }} = {{ whole }} then {{ part }}
    else {{ int_div(total, 1000000000) }} * {{ billionths(part, whole) }}
        + {{ int_div(int_mod(total, 1000000000) ~ ' * ' ~ billionths(part, whole), 1000000000) }}
end)
{%- endmacro %}
{% macro billionths(part, whole) -%}
{%- set first = int_mod(part, whole) ~ ' * 1000' -%}
{%- set second = int_mod(first, whole) ~ ' * 1000' -%}
{%- set third = int_mod(second, whole) ~ ' * 1000' -%}
({{ int_div(first, whole) }} * 1000000 + {{ int_div(second, whole) }} * 1000 + {{ int_div(third, whole) }})
{%- endmacro %}

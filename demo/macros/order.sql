{# The total order of events [2.5]. Batch ids are 0 where the export has none; the key breaks every tie. #}
{% macro total_order(alias='') -%}
{%- set prefix = alias ~ '.' if alias else '' -%}
{{ prefix }}event_timestamp, {{ prefix }}batch_page_id, {{ prefix }}batch_ordering_id, {{ prefix }}batch_event_index, {{ prefix }}event_key
{%- endmacro %}

{# Is the row `left` at or before the row `right` in the total order? #}
{% macro not_after(left, left_time, right, right_time) -%}
(
    {{ left }}.{{ left_time }} < {{ right }}.{{ right_time }}
    or {{ left }}.{{ left_time }} = {{ right }}.{{ right_time }} and (
        {{ left }}.batch_page_id < {{ right }}.batch_page_id
        or {{ left }}.batch_page_id = {{ right }}.batch_page_id and (
            {{ left }}.batch_ordering_id < {{ right }}.batch_ordering_id
            or {{ left }}.batch_ordering_id = {{ right }}.batch_ordering_id and (
                {{ left }}.batch_event_index < {{ right }}.batch_event_index
                or {{ left }}.batch_event_index = {{ right }}.batch_event_index
                and {{ left }}.event_key <= {{ right }}.event_key
            )
        )
    )
)
{%- endmacro %}

-- Categories of well-known sources, as the seed and GA4's list have them.
with

expected as (
    {%- for source, category in [
        ('google', 'SEARCH'), ('google.co.uk', 'SEARCH'), ('bing', 'SEARCH'), ('duckduckgo.com', 'SEARCH'),
        ('t.co', 'SOCIAL'), ('l.facebook.com', 'SOCIAL'), ('lnkd.in', 'SOCIAL'), ('youtube.com', 'VIDEO'),
        ('chatgpt.com', 'AI'), ('amazon.com', 'SHOPPING'), ('mail.google.com', '-'), ('stripe.com', '-'),
    ] %}
    select '{{ source }}' as source, '{{ category }}' as category
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select expected.source, expected.category, coalesce(categories.category, '-') as found
from expected
left join {{ ref('source_categories') }} as categories on expected.source = categories.source
where coalesce(categories.category, '-') <> expected.category

{{ config(materialized='table', enabled=var('order_dedupe_scope') == 'property') }}

with

purchases as (

    select
        {{ total_order() }},
        transaction_id,
        row_number() over (partition by transaction_id order by {{ total_order() }}) as purchase_number
    from {{ ref('int_events') }}
    where event_name = 'purchase' and transaction_id is not null

)

select
    transaction_id,
    event_key
from purchases
where purchase_number = 1

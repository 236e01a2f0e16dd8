{{ config(materialized='table') }}

-- A rate holds until the next one of its currency.
with

dated as (

    select
        date as valid_from,
        upper(trim(currency)) as currency,
        rate
    from {{ ref('exchange_rates') }}

)

select
    currency,
    rate,
    valid_from,
    lead(valid_from) over (partition by currency order by valid_from) as valid_before
from dated

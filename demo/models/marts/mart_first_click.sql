{{ config(materialized='table', meta={'live': {'key': 'person_key'}}) }}

{{ person_touch('first') }}

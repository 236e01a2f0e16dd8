{{ config(materialized='table', tags=['attribution'], meta={'live': {'key': 'person_key'}}) }}
{{ fitted_weights('shapley') }}

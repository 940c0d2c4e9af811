-- Addresses of a file of emails that lie in these domains or their sub-domains.
-- Grain: one address. Inputs: $path, $domains.
with present as (
    select unnest(list_concat([from_address, sender_address], to_addresses, cc_addresses)) as address
    from read_parquet($path, hive_partitioning = false)
)

select distinct present.address
from present
inner join (select unnest($domains::varchar[]) as domain) as domains
    on ends_with(present.address, '@' || domains.domain) or ends_with(present.address, '.' || domains.domain)

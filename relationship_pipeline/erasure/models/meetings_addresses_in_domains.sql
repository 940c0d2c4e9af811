-- Addresses of a file of meetings that lie in these domains or their sub-domains.
-- Grain: one address. Inputs: $path, $domains.
with present as (
    select unnest(list_concat([organizer_address], list_transform(attendees, lambda a: a.address))) as address
    from read_parquet($path, hive_partitioning = false)
)

select distinct present.address
from present
inner join (select unnest($domains::varchar[]) as domain) as domains
    on ends_with(present.address, '@' || domains.domain) or ends_with(present.address, '.' || domains.domain)

-- N2: on which side each address stands: us (in scope), internal, outside; hidden where suppressed everywhere (O4, O6).
-- grain: address. inputs: month_addresses, people, internal_domains, hidden_addresses, hidden_domains.
with
addressed as (
    select address, split_part(address, '@', 2) as domain
    from month_addresses
),

domains as (
    select
        named.domain,
        bool_or(internal_domains.domain is not null) as is_internal,
        bool_or(hidden_domains.domain is not null) as is_hidden
    from (select distinct domain from addressed) as named
    left join internal_domains
        on named.domain = internal_domains.domain or ends_with(named.domain, '.' || internal_domains.domain)
    left join hidden_domains
        on named.domain = hidden_domains.domain or ends_with(named.domain, '.' || hidden_domains.domain)
    group by named.domain
)

select
    addressed.address,
    addressed.domain,
    case
        when people.hidden or domains.is_hidden or hidden_addresses.address is not null then 'hidden'
        when people.in_scope then 'us'
        when domains.is_internal then 'internal'
        else 'outside'
    end as side,
    case when people.in_scope then people.user_id end as user_id
from addressed
inner join domains on domains.domain = addressed.domain
left join people on people.address = addressed.address
left join hidden_addresses on hidden_addresses.address = addressed.address

-- Addresses of this month that may not appear: hidden themselves, or of a hidden domain or a sub-domain of one.
-- Grain: one address. Inputs: copies, hidden(address), hidden_domains(domain).
with present as (
    select from_address as address
    from copies
    union
    select sender_address
    from copies
    union
    select unnest(to_addresses)
    from copies
    union
    select unnest(cc_addresses)
    from copies
)

select present.address
from present
where
    present.address in (select hidden.address from hidden)
    or exists (
        select 1
        from hidden_domains
        where
            ends_with(present.address, '@' || hidden_domains.domain)
            or ends_with(present.address, '.' || hidden_domains.domain)
    )
order by present.address

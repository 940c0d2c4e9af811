-- Addresses of these meetings that may not appear: hidden themselves, or of a hidden domain or a sub-domain of one.
-- Grain: one address. Inputs: meeting_copies, hidden(address), hidden_domains(domain).
with present as (
    select organizer_address as address
    from meeting_copies
    union
    select unnest(list_transform(attendees, lambda a: a.address))
    from meeting_copies
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

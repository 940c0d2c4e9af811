-- Addresses of this month that may not appear: hidden themselves, or of a hidden domain or a sub-domain of one.
-- Grain: one address. Inputs: present (present_addresses or present_in_meetings), hidden(address), hidden_domains(domain).
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

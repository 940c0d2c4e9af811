-- Rows of User_v1. Grain: one user. Inputs: users(mailbox, address, display_name), $tenant.
select
    mailbox as id,
    address as "userPrincipalName",
    address as mail,
    display_name as "displayName",
    true as "accountEnabled",
    'Member' as "userType",
    [
        'SMTP:' || address,
        'X500:/o=ExchangeLabs/ou=Exchange Administrative Group/cn=Recipients/cn=' || replace(address, '@', '-')
    ] as "proxyAddresses",
    mailbox as puser,
    $tenant as ptenant
from users

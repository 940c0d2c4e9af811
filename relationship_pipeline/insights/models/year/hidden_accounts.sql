-- Accounts of the CRM that stand for a suppressed domain (O5, O6): no contact is shown as theirs.
-- grain: account_id. inputs: crm_accounts(account_id, name, domain), hidden_domains(domain).
select account_id
from crm_accounts
where exists (
    select 1 from hidden_domains where ends_with('.' || crm_accounts.domain, '.' || hidden_domains.domain)
)

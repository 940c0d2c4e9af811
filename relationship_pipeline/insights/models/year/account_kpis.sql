-- Published: KPIs of each account. grain: account_id.
-- inputs: kpis, contact_accounts, crm_accounts(account_id, name, domain), crm_opportunity_counts, health.
with
contacts as (
    select unnest(contact_accounts.accounts) as account_id, count(*) as contacts
    from contact_accounts
    inner join kpis on kpis.record_type = 'contact' and kpis.record_id = contact_accounts.contact
    group by 1
)

select
    kpis.record_id as account_id,
    case when crm_accounts.account_id is null then kpis.record_id else crm_accounts.name end as account_name,
    case when crm_accounts.account_id is null then kpis.record_id else crm_accounts.domain end as domain,
    coalesce(contacts.contacts, 0) as contacts,
    kpis.* exclude (record_type, record_id),
    coalesce(crm_opportunity_counts.opportunities, 0) as opportunities,
    health.* exclude (record_type, record_id)
from kpis
left join crm_accounts on crm_accounts.account_id = kpis.record_id
left join contacts on contacts.account_id = kpis.record_id
left join crm_opportunity_counts
    on crm_opportunity_counts.record_type = 'account' and crm_opportunity_counts.record_id = kpis.record_id
left join health on health.record_type = 'account' and health.record_id = kpis.record_id
where kpis.record_type = 'account'

-- Published: KPIs of each contact. grain: contact_email.
-- inputs: kpis, contact_names, contact_accounts, crm_opportunity_counts, health. parameters: none.
select
    kpis.record_id as contact_email,
    contact_names.name as contact_name,
    contact_accounts.account_id,
    kpis.* exclude (record_type, record_id),
    coalesce(crm_opportunity_counts.opportunities, 0) as opportunities,
    health.* exclude (record_type, record_id)
from kpis
left join contact_names on contact_names.contact = kpis.record_id
left join contact_accounts on contact_accounts.contact = kpis.record_id
left join crm_opportunity_counts
    on crm_opportunity_counts.record_type = 'contact' and crm_opportunity_counts.record_id = kpis.record_id
left join health on health.record_type = 'contact' and health.record_id = kpis.record_id
where kpis.record_type = 'contact'

-- Published: KPIs of each lead. grain: lead_id. inputs: kpis, crm_leads, health.
select
    kpis.record_id as lead_id,
    crm_leads.name as lead_name,
    crm_leads.company_name,
    crm_leads.state as lead_state,
    kpis.* exclude (record_type, record_id),
    health.* exclude (record_type, record_id)
from kpis
inner join crm_leads on crm_leads.lead_id = kpis.record_id
left join health on health.record_type = 'lead' and health.record_id = kpis.record_id
where kpis.record_type = 'lead'

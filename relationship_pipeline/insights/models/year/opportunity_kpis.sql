-- Published: KPIs of each opportunity. grain: opportunity_id. inputs: kpis, crm_opportunities, health.
select
    kpis.record_id as opportunity_id,
    crm_opportunities.name as opportunity_name,
    crm_opportunities.account_id,
    crm_opportunities.state as opportunity_state,
    crm_opportunities.estimated_value,
    kpis.* exclude (record_type, record_id),
    health.* exclude (record_type, record_id)
from kpis
inner join crm_opportunities on crm_opportunities.opportunity_id = kpis.record_id
left join health on health.record_type = 'opportunity' and health.record_id = kpis.record_id
where kpis.record_type = 'opportunity'

-- Records by kind and state of health, now.
-- grain: record_type, health_state; inputs: contact_kpis, account_kpis, opportunity_kpis, lead_kpis
with records as (
    select
        'contact' as record_type,
        health_state
    from contact_kpis
    union all
    select
        'account' as record_type,
        health_state
    from account_kpis
    union all
    select
        'opportunity' as record_type,
        health_state
    from opportunity_kpis
    union all
    select
        'lead' as record_type,
        health_state
    from lead_kpis
)

select
    record_type,
    coalesce(health_state, 'not_enough_info') as health_state,
    count(*) as records
from records
group by all
order by all

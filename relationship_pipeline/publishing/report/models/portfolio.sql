-- Records by kind and state of health, now; without those whose health was not computed.
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
    health_state,
    count(*) as records
from records
where health_state is not null
group by all
order by all

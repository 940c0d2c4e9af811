-- Contacts who went quiet or lapsed, those with the most interactions of the year first.
-- grain: contact; parameter: most (rows); inputs: alerts, contact_kpis, account_kpis
with quiet as (
    select
        record_id,
        kind,
        detail
    from alerts
    where record_type = 'contact' and kind in ('going_quiet', 'lapsed')
)

select
    contact_kpis.contact_email,
    contact_kpis.contact_name,
    account_kpis.account_name,
    quiet.kind,
    quiet.detail,
    contact_kpis.last_interaction_at,
    contact_kpis.days_since_last_interaction,
    contact_kpis.health_score,
    contact_kpis.health_state,
    contact_kpis.next_meeting_at,
    coalesce(contact_kpis.emails_sent, 0) + coalesce(contact_kpis.emails_received, 0) as emails,
    coalesce(contact_kpis.meetings_sent, 0) + coalesce(contact_kpis.meetings_received, 0) as meetings,
    count(*) over () as all_quiet
from quiet
inner join contact_kpis on quiet.record_id = contact_kpis.contact_email
left join account_kpis using (account_id)
order by emails + 5 * meetings desc, contact_kpis.contact_email
limit $most

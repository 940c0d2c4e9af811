-- The accounts with most interactions in the year, with the health of their contacts.
-- grain: account; parameter: most (rows); inputs: account_kpis, contact_kpis
with busiest as (
    select
        account_id,
        account_name,
        domain,
        contacts,
        coalesce(emails_sent, 0) as emails_sent,
        coalesce(emails_received, 0) as emails_received,
        coalesce(meetings_sent, 0) + coalesce(meetings_received, 0) as meetings,
        last_interaction_at,
        next_meeting_at,
        computation_accuracy
    from account_kpis
    order by emails_sent + emails_received + 5 * meetings desc, account_id
    limit $most
),

health as (
    select
        account_id,
        count(*) filter (where health_state = 'good') as good,
        count(*) filter (where health_state = 'fair') as fair,
        count(*) filter (where health_state = 'poor') as poor
    from contact_kpis
    where account_id in (select account_id from busiest)
    group by account_id
)

select
    busiest.*,
    coalesce(health.good, 0) as good,
    coalesce(health.fair, 0) as fair,
    coalesce(health.poor, 0) as poor
from busiest
left join health using (account_id)
order by busiest.emails_sent + busiest.emails_received + 5 * busiest.meetings desc, busiest.account_id

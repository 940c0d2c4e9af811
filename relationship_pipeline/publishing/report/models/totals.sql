-- The page's first figures.
-- grain: one row; parameter: live_days; inputs: contact_kpis, account_kpis, alerts
select
    (select count(*) from contact_kpis) as contacts,
    (
        select count(*) from contact_kpis
        where days_since_last_interaction < $live_days
    ) as live_contacts,
    (select count(*) from account_kpis) as accounts,
    (
        select count(*) from contact_kpis
        where next_meeting_at is not null
    ) as with_next_meeting,
    (
        select count(*) from contact_kpis
        where health_state = 'good'
    ) as good,
    (
        select count(*) from contact_kpis
        where health_score is not null
    ) as scored,
    (
        select count(*) from alerts
        where record_type = 'contact' and kind in ('going_quiet', 'lapsed')
    ) as quiet,
    (
        select count(*) from batches
        where status <> 'complete'
    ) as partial_batches,
    (select max(as_of) from batches) as as_of

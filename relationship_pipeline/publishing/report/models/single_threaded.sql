-- Accounts that hang on one live contact, the busiest first.
-- grain: account; parameter: most (rows); inputs: alerts, account_kpis
select
    account_kpis.account_id,
    account_kpis.account_name,
    account_kpis.last_interaction_at,
    alerts.detail
from alerts
inner join account_kpis on alerts.record_id = account_kpis.account_id
where alerts.record_type = 'account' and alerts.kind = 'single_threaded'
order by account_kpis.emails_sent + account_kpis.emails_received desc, account_kpis.account_id
limit $most

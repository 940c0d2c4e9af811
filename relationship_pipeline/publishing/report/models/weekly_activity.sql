-- Emails and meetings of some accounts by week, counted back from as_of: week 0 is the latest; weeks without any absent.
-- grain: account_id, week; parameters: accounts (ids), weeks (how many); input: daily_activity
select
    record_id as account_id,
    date_diff('day', day, as_of::date) // 7 as week,
    sum(coalesce(emails_sent, 0) + coalesce(emails_received, 0) + coalesce(meetings_sent, 0)
        + coalesce(meetings_received, 0))::bigint as interactions
from daily_activity
where
    record_type = 'account'
    and record_id in (select unnest($accounts))
    and date_diff('day', day, as_of::date) between 0 and 7 * $weeks - 1
group by all
order by all

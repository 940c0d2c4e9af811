-- The colleagues who know an account, strongest first.
-- grain: colleague; parameter: looked_up (account id); input: who_knows_company
select
    rank,
    colleague_email,
    colleague_name,
    strength,
    band,
    emails_sent,
    emails_received,
    meetings,
    last_interaction_at,
    reasons
from who_knows_company
where account_id = $looked_up
order by rank

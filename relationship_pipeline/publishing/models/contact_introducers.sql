-- The colleagues who know a contact, strongest first.
-- grain: colleague; parameter: looked_up (address); input: who_knows_whom
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
from who_knows_whom
where contact_email = $looked_up
order by rank

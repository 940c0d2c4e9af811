-- The colleagues who know a contact or an account, strongest first. An address is no account id, so one value finds either.
-- grain: colleague; parameter: looked_up (address or account id); inputs: who_knows_whom, who_knows_company
with known as (
    select contact_email as record_id, * exclude (contact_email)
    from who_knows_whom
    union all by name
    select account_id as record_id, * exclude (account_id)
    from who_knows_company
)

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
from known
where record_id = $looked_up
order by rank

-- Every tie of the graph with its strength (K4): to contacts as in who knows whom but all of them, and among colleagues.
-- grain: (kind, source, target). inputs: scored_pairs, hidden_ties, users, tie_constants(k).
select
    'colleague_contact' as kind,
    users.email as source,
    scored_pairs.record_id as target,
    greatest(1, round_even(tie_strength(scored_pairs.score, tie_constants.k), 0))::integer as strength,
    scored_pairs.first_at,
    scored_pairs.last_at,
    scored_pairs.emails_sent + scored_pairs.emails_received as emails,
    scored_pairs.meetings
from scored_pairs
anti join hidden_ties using (record_type, record_id, user_id)
cross join tie_constants
inner join users on users.user_id = scored_pairs.user_id
where scored_pairs.record_type = 'contact'
  and users.may_introduce
  and (scored_pairs.emails_sent > 0 or scored_pairs.accepted > 0)
union all
select
    'colleague_colleague',
    least(one.email, two.email),
    greatest(one.email, two.email),
    greatest(1, round_even(tie_strength(scored_pairs.score, tie_constants.k), 0))::integer,
    scored_pairs.first_at,
    scored_pairs.last_at,
    scored_pairs.emails_sent + scored_pairs.emails_received,
    scored_pairs.meetings
from scored_pairs
anti join hidden_ties using (record_type, record_id, user_id)
cross join tie_constants
inner join users as one on one.user_id = scored_pairs.user_id
inner join users as two on two.user_id = scored_pairs.record_id
where scored_pairs.record_type = 'colleague'
  and one.may_introduce
  and two.may_introduce
  and (scored_pairs.emails_sent + scored_pairs.emails_received > 0 or scored_pairs.accepted > 0)

-- Every tie of the graph with its strength (K4): to contacts as in who knows whom but all of them, and among colleagues.
-- grain: (kind, source, target). inputs: scored_pairs, hidden_ties, users, record_keys, tie_constants(k).
select
    'colleague_contact' as kind,
    users.email as source,
    record_keys.record_id as target,
    greatest(1, round_even(tie_strength(scored_pairs.score, tie_constants.k), 0))::integer as strength,
    scored_pairs.first_at,
    scored_pairs.last_at,
    scored_pairs.emails_sent + scored_pairs.emails_received as emails,
    scored_pairs.meetings
from scored_pairs
anti join hidden_ties using (record_type, record_key, user_key)
cross join tie_constants
inner join users on users.user_key = scored_pairs.user_key
inner join record_keys on record_keys.record_type = 'contact' and record_keys.record_key = scored_pairs.record_key
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
anti join hidden_ties using (record_type, record_key, user_key)
cross join tie_constants
inner join users as one on one.user_key = scored_pairs.user_key
inner join users as two on two.user_key = scored_pairs.record_key
where scored_pairs.record_type = 'colleague'
  and one.may_introduce
  and two.may_introduce
  and (scored_pairs.emails_sent + scored_pairs.emails_received > 0 or scored_pairs.accepted > 0)

-- Every tie of the graph with its strength (K4): to contacts as in who knows whom but all of them, and among colleagues.
-- Nodes by their numbers; `edge` sorts as (target, source) do.
-- grain: (kind, source_number, target_number). inputs: scored_pairs, hidden_ties, users, record_keys, graph_names,
--   tie_constants(k).
with
colleagues as (
    select users.user_key, graph_names.number
    from users
    inner join graph_names on graph_names.name = users.email
    where users.may_introduce
),

contacts as (
    select record_keys.record_key, graph_names.number
    from record_keys
    inner join graph_names on graph_names.name = record_keys.record_id
    where record_keys.record_type = 'contact'
),

ties as (
    select
        scored_pairs.* exclude (score),
        scored_pairs.emails_sent + scored_pairs.emails_received as emails,
        greatest(1, round_even(tie_strength(scored_pairs.score, tie_constants.k), 0))::integer as strength
    from scored_pairs
    anti join hidden_ties using (record_type, record_key, user_key)
    cross join tie_constants
),

numbered as (
    select
        'colleague_contact' as kind,
        colleagues.number as source_number,
        contacts.number as target_number,
        ties.strength,
        ties.first_at,
        ties.last_at,
        ties.emails,
        ties.meetings
    from ties
    inner join colleagues on colleagues.user_key = ties.user_key
    inner join contacts on contacts.record_key = ties.record_key
    where ties.record_type = 'contact' and (ties.emails_sent > 0 or ties.accepted > 0)
    union all
    select
        'colleague_colleague',
        least(one.number, two.number),
        greatest(one.number, two.number),
        ties.strength,
        ties.first_at,
        ties.last_at,
        ties.emails,
        ties.meetings
    from ties
    inner join colleagues as one on one.user_key = ties.user_key
    inner join colleagues as two on two.user_key = ties.record_key
    where ties.record_type = 'colleague' and (ties.emails > 0 or ties.accepted > 0)
)

select *, (target_number << 31) | source_number as edge
from numbered

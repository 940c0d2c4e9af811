-- Ties that are shown (K2, K5): the colleague wrote at least once or a meeting was accepted by both, and the colleague may
-- be shown as an introducer, and nobody hid it (K7). At most five a record, in the order of K3, the same for every viewer (V3).
-- `contact_number` (null for accounts), `colleague_number`: to sort by.
-- grain: (record_type, record_id, rank). inputs: scored_pairs, hidden_ties, users, record_keys, graph_names,
--   tie_constants(k). parameters: $shown.
with
gated as (
    select
        scored_pairs.*,
        users.email as colleague_email,
        users.name as colleague_name
    from scored_pairs
    anti join hidden_ties using (record_type, record_key, user_key)
    inner join users on users.user_key = scored_pairs.user_key
    where users.may_introduce
      and scored_pairs.record_type in ('contact', 'account')
      and (scored_pairs.emails_sent > 0 or scored_pairs.accepted > 0)
),

-- only these are sorted: a few of each record instead of all
strongest as (
    select record_type, record_key, list_min(max(score, $shown)) as least
    from gated
    group by record_type, record_key
),

ranked as (
    select
        gated.*,
        row_number() over (
            partition by gated.record_type, gated.record_key
            order by gated.score desc, gated.last_at desc nulls last, gated.colleague_email
        ) as rank
    from gated
    inner join strongest
        on strongest.record_type = gated.record_type
        and strongest.record_key = gated.record_key
        and gated.score >= strongest.least
    qualify rank <= $shown
)

select
    record_keys.record_id,
    contacts.number as contact_number,
    colleagues.number as colleague_number,
    ranked.* exclude (record_key),
    greatest(1, round_even(tie_strength(ranked.score, tie_constants.k), 0))::integer as strength
from ranked
cross join tie_constants
inner join record_keys
    on record_keys.record_type = ranked.record_type and record_keys.record_key = ranked.record_key
inner join graph_names as colleagues on colleagues.name = ranked.colleague_email
left join graph_names as contacts on contacts.name = record_keys.record_id and ranked.record_type = 'contact'

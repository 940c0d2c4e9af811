-- Stored: emails between one of us and a contact, or an account's people each email once (K2, K3). Only people named in
-- To or Cc count. `emails`: all; `…_sent`, `…_received`: those to at most $audience_limit recipients, which alone make
-- a tie. Tie sums: weight x 0.5^(age / half-life), age at the end of the month, in units of 2^-40, whole numbers so that
-- no order of summing changes them; they are aged on to any later instant by one factor.
-- grain: (record_type, record_id, user_id). inputs: named, sent_to_accounts, members, labels, persons.
-- parameters: $month_end, $short_days, $medium_days, $long_days, $full_audience, $audience_limit.
with
contacts as (
    select
        'contact' as record_type,
        case when by_us then person else sender end as record,
        case when by_us then sender else person end as colleague,
        by_us,
        sent_at,
        audience
    from named
    where by_us <> is_us and not is_border
),

accounts_received as (
    select 'account' as record_type, members.account as record, named.person as colleague, false as by_us,
        named.sent_at, named.audience
    from named
    inner join members on members.person = named.sender
    where not named.by_us and not named.is_border
),

accounts_sent as (
    select 'account' as record_type, account as record, sender as colleague, true as by_us, sent_at, audience
    from sent_to_accounts
    where not is_border
),

messages as (
    select * from contacts
    union all
    select * from accounts_received
    union all
    select * from accounts_sent
),

weighted as (
    select
        *,
        audience <= $audience_limit as is_tie,
        (epoch_us($month_end::timestamptz) - epoch_us(sent_at)) / 86_400_000_000 as age,
        case
            when audience > $audience_limit then 0
            when audience > $full_audience then $full_audience / audience
            else 1
        end * 1_099_511_627_776 as weight
    from messages
),

pairs as (
    select
        record_type,
        record,
        colleague,
        count(*) as emails,
        count(*) filter (where by_us and is_tie) as tie_sent,
        count(*) filter (where not by_us and is_tie) as tie_received,
        max(sent_at) as last_at,
        min(sent_at) filter (where is_tie) as tie_first_at,
        max(sent_at) filter (where is_tie) as tie_last_at,
        sum(round(weight * pow(0.5, age / $short_days))::bigint) filter (where by_us)::bigint as sent_short,
        sum(round(weight * pow(0.5, age / $medium_days))::bigint) filter (where by_us)::bigint as sent_medium,
        sum(round(weight * pow(0.5, age / $long_days))::bigint) filter (where by_us)::bigint as sent_long,
        sum(round(weight * pow(0.5, age / $short_days))::bigint) filter (where not by_us)::bigint as received_short,
        sum(round(weight * pow(0.5, age / $medium_days))::bigint) filter (where not by_us)::bigint as received_medium,
        sum(round(weight * pow(0.5, age / $long_days))::bigint) filter (where not by_us)::bigint as received_long
    from weighted
    group by record_type, record, colleague
)

select labels.record_type, labels.record_id, persons.name as user_id, pairs.* exclude (record_type, record, colleague)
from pairs
inner join labels on labels.record_type = pairs.record_type and labels.record = pairs.record
inner join persons on persons.person = pairs.colleague
order by labels.record_type, labels.record_id, persons.name

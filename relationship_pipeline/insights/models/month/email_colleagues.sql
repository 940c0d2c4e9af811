-- Stored: emails between two of us, for the graph's edges among colleagues (K4). Sums as in email_pairs.
-- grain: (user_id, other_id), user_id < other_id. inputs: named, persons.
-- parameters: as email_pairs.
with
weighted as (
    select
        least(sender, person) as colleague,
        greatest(sender, person) as other,
        sent_at,
        (epoch_us($month_end::timestamptz) - epoch_us(sent_at)) / 86_400_000_000 as age,
        case when audience > $full_audience then $full_audience / audience else 1 end * 1_099_511_627_776 as weight
    from named
    where by_us and is_us and sender <> person and not is_border and audience <= $audience_limit
),

pairs as (
    select
        colleague,
        other,
        count(*) as emails,
        min(sent_at) as first_at,
        max(sent_at) as last_at,
        sum(round(weight * pow(0.5, age / $short_days))::bigint)::bigint as sum_short,
        sum(round(weight * pow(0.5, age / $medium_days))::bigint)::bigint as sum_medium,
        sum(round(weight * pow(0.5, age / $long_days))::bigint)::bigint as sum_long
    from weighted
    group by colleague, other
)

select one.name as user_id, two.name as other_id, pairs.* exclude (colleague, other)
from pairs
inner join persons as one on one.person = pairs.colleague
inner join persons as two on two.person = pairs.other
order by one.name, two.name

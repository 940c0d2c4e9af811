-- evaluation_ties: every pair of the universe at one cut, with its scores.
-- grain: one pair with a message in the 365 days before $cut
-- inputs: evaluation_events, tie_constants (one row: k); $cut (UTC)
-- columns: a, b, label (a message in the 30 days from the cut), in_touch_60_days, last_at, strength (unrounded score,
--   before the K2 gate), and every baseline of K8 (higher = closer)
-- Scores come from `before` alone, which ends at the cut. Threads add doubles in any order: the tenth decimal of the
-- strength is where that noise ends, so that equal ties stay equal.
create or replace temp table evaluation_ties as
with before as (
    select
        events.*,
        (epoch(cast($cut as timestamp)) - epoch(sent_at)) / 86400.0 as age,
        kind = 'outward' as is_outward,
        kind = 'inward' as is_inward,
        kind = 'meeting' as is_meeting,
        audience_weight(audience, k) as weight
    from evaluation_events as events, tie_constants
    where sent_at < $cut and sent_at >= cast($cut as timestamp) - interval 365 days
),

by_day as (
    select
        a,
        b,
        cast(sent_at as date) as day,
        (epoch(cast($cut as timestamp)) - epoch(cast(sent_at as date))) / 86400.0 as day_age,
        min(age) as last_age,
        min(age) filter (not is_meeting) as last_message_age,
        count(*) filter (not is_meeting) as messages,
        count(*) filter (not is_meeting and age <= 28) as messages_28d,
        coalesce(sum(weight * decay(age, k.half_lives_days[1])) filter (is_outward), 0) as outward_1,
        coalesce(sum(weight * decay(age, k.half_lives_days[2])) filter (is_outward), 0) as outward_2,
        coalesce(sum(weight * decay(age, k.half_lives_days[3])) filter (is_outward), 0) as outward_3,
        coalesce(sum(weight * decay(age, k.half_lives_days[1])) filter (is_inward), 0) as inward_1,
        coalesce(sum(weight * decay(age, k.half_lives_days[2])) filter (is_inward), 0) as inward_2,
        coalesce(sum(weight * decay(age, k.half_lives_days[3])) filter (is_inward), 0) as inward_3,
        coalesce(sum(weight * decay(age, k.half_lives_days[1])) filter (is_meeting), 0) as meetings_1,
        coalesce(sum(weight * decay(age, k.half_lives_days[2])) filter (is_meeting), 0) as meetings_2,
        coalesce(sum(weight * decay(age, k.half_lives_days[3])) filter (is_meeting), 0) as meetings_3,
        coalesce(sum(decay(age, 7)) filter (is_outward), 0) as plain_outward_7,
        coalesce(sum(decay(age, 7)) filter (is_inward), 0) as plain_inward_7,
        coalesce(sum(decay(age, 60)) filter (is_outward), 0) as plain_outward_60,
        coalesce(sum(decay(age, 60)) filter (is_inward), 0) as plain_inward_60,
        coalesce(sum(decay(age, 14)) filter (not is_meeting), 0) as plain_14,
        coalesce(sum(decay(age, 30)) filter (not is_meeting), 0) as plain_30,
        coalesce(sum(decay(age, 90)) filter (not is_meeting), 0) as plain_90
    from before, tie_constants
    group by a, b, cast(sent_at as date)
),

sums as (
    select
        a,
        b,
        min(last_age) as last_age,
        min(last_message_age) as last_message_age,
        count(distinct date_trunc('month', day)) as months,
        sum(messages) as messages,
        sum(messages_28d) as messages_28d,
        sum(outward_1) as outward_1,
        sum(outward_2) as outward_2,
        sum(outward_3) as outward_3,
        sum(inward_1) as inward_1,
        sum(inward_2) as inward_2,
        sum(inward_3) as inward_3,
        sum(meetings_1) as meetings_1,
        sum(meetings_2) as meetings_2,
        sum(meetings_3) as meetings_3,
        sum(decay(day_age, k.half_lives_days[1])) as days_1,
        sum(decay(day_age, k.half_lives_days[2])) as days_2,
        sum(decay(day_age, k.half_lives_days[3])) as days_3,
        sum(plain_outward_7) as plain_outward_7,
        sum(plain_inward_7) as plain_inward_7,
        sum(plain_outward_60) as plain_outward_60,
        sum(plain_inward_60) as plain_inward_60,
        sum(plain_14) as plain_14,
        sum(plain_30) as plain_30,
        sum(plain_90) as plain_90
    from by_day, tie_constants
    group by a, b
    having sum(messages) > 0
),

after as (
    select
        a,
        b,
        bool_or(sent_at < cast($cut as timestamp) + interval 30 days) as in_30_days
    from evaluation_events
    where kind <> 'meeting' and sent_at >= $cut and sent_at < cast($cut as timestamp) + interval 60 days
    group by a, b
)

select
    sums.a,
    sums.b,
    coalesce(after.in_30_days, false) as label,
    after.a is not null as in_touch_60_days,
    sums.last_age,
    round(
        tie_last_contact_part(last_age, k)
        + tie_scale_part(outward_1, inward_1, meetings_1, days_1, k)
        + tie_scale_part(outward_2, inward_2, meetings_2, days_2, k)
        + tie_scale_part(outward_3, inward_3, meetings_3, days_3, k)
        + tie_months_part(months, k),
        10
    ) as strength,
    cast(messages as double) as count_365d,
    cast(messages_28d as double) as count_28d,
    -last_message_age as recency,
    plain_outward_7 + plain_inward_7 as half_life_7,
    plain_14 as half_life_14,
    plain_30 as half_life_30,
    plain_outward_60 + plain_inward_60 as half_life_60,
    plain_90 as half_life_90,
    case
        when $directed then 5 * plain_outward_7 + plain_inward_7
        else 6 * (plain_outward_7 + plain_inward_7)
    end as interactions_rank,
    sqrt(plain_outward_60 * plain_inward_60) as bilateral
from sums
cross join tie_constants
left join after using (a, b)
order by sums.a, sums.b

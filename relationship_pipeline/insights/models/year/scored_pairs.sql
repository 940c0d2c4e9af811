-- Score of each pair that may be shown as a tie, by part (domain/ties.py, K3).
-- grain: (record_type, record_key, user_key). inputs: pair_sums, tie_constants(k). parameters: $as_of.
with
parts as (
    select
        pair_sums.*,
        tie_last_contact_part(
            (epoch_us($as_of::timestamptz) - epoch_us(coalesce(last_at, '-infinity'::timestamptz))) / 86_400_000_000, k
        ) as last_contact_part,
        tie_scale_part(ours_short, theirs_short, 0, days_short, k) as short_part,
        tie_scale_part(ours_medium, theirs_medium, 0, days_medium, k) as medium_part,
        tie_scale_part(ours_long, theirs_long, 0, days_long, k) as long_part,
        tie_months_part(coalesce(months, 1), k) as months_part
    from pair_sums, tie_constants
)

select
    record_type,
    record_key,
    user_key,
    emails_sent,
    emails_received,
    meetings,
    accepted,
    months,
    first_at,
    last_at,
    last_contact_part,
    short_part,
    medium_part,
    long_part,
    months_part,
    last_contact_part + short_part + medium_part + long_part + months_part as score
from parts

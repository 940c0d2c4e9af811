-- Score of each pair that may be shown as a tie, by part (domain/ties.py, K2, K3): one of us wrote, or both accepted a
-- meeting; of two of us either wrote.
-- grain: (record_type, record_id, user_id). inputs: pair_sums, tie_constants(k). parameters: $as_of.
with
parts as (
    select
        pair_sums.*,
        tie_last_contact_part(
            (epoch_us($as_of::timestamptz) - epoch_us(coalesce(last_at, '-infinity'::timestamptz))) / 86_400_000_000, k
        ) as last_contact_part,
        tie_scale_part(outward_short, inward_short, meetings_short, days_short, k) as short_part,
        tie_scale_part(outward_medium, inward_medium, meetings_medium, days_medium, k) as medium_part,
        tie_scale_part(outward_long, inward_long, meetings_long, days_long, k) as long_part,
        tie_months_part(coalesce(months, 1), k) as months_part
    from pair_sums, tie_constants
    where emails_sent > 0 or accepted > 0 or (record_type = 'colleague' and emails_received > 0)
)

select
    record_type,
    record_id,
    user_id,
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

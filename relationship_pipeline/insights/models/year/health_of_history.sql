-- Health of each contact from single interactions. grain: contact.
-- inputs: history (contact, message, kind: outward, inward or meeting, sent_at), health_constants(k).
-- parameters: $as_of.
with
interactions as (
    select distinct contact, message, kind, sent_at
    from history
),

sums as (
    select
        contact,
        sum(
            case when kind = 'meeting' then k.weight_meeting else k.weight_email end / 6
            * pow(0.5, (epoch_us($as_of::timestamptz) - epoch_us(sent_at)) / 86_400_000_000 / k.half_life_days)
        ) as activity,
        (epoch_us($as_of::timestamptz) - epoch_us(max(sent_at))) / 86_400_000_000 as days_since_last,
        count(*) filter (where kind in ('outward', 'meeting')) as ours,
        count(*) filter (where kind in ('inward', 'meeting')) as theirs
    from interactions, health_constants
    group by contact
)

select
    contact,
    k.max_activity * activity_share(activity, k)
        + k.max_recency * recency_share(days_since_last, k)
        + k.max_engagement * engagement_share(ours, theirs)
        + k.max_responsiveness * k.unknown_responsiveness as health
from sums, health_constants

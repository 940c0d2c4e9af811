-- Published: who knows each contact best (K1). grain: (contact_email, rank). inputs: shown_ties, tie_constants(k).
-- parameters: $as_of. Sorted by `contact_number`, which is not published.
select
    contact_number,
    record_id as contact_email,
    rank,
    colleague_email,
    colleague_name,
    strength,
    tie_band(strength, k) as band,
    emails_sent,
    emails_received,
    meetings,
    last_at as last_interaction_at,
    tie_reasons(
        emails_sent, emails_received, meetings, months,
        (epoch_us($as_of::timestamptz) - epoch_us(last_at)) // 86_400_000_000
    ) as reasons,
    $as_of::timestamptz as as_of
from shown_ties, tie_constants
where record_type = 'contact'

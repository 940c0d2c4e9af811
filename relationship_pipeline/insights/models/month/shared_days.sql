-- Stored: the days on which a pair had both emails and meetings, which count as one day with contact (domain/ties.py).
-- Single meetings, so that a window may end between two of them. `email_at`: the day's last email.
-- grain: (record_type, record_id, user_id, meeting_at). inputs: pair_interactions (of emails), met, labels, persons.
-- parameters: $month_end.
with
last_emails as (
    select pair, max(happened_at) as email_at
    from pair_interactions
    where is_tie and pair in (select pair from met)
    group by pair, epoch_us(happened_at) // 86_400_000_000
),

shared as (
    select met.pair, last_emails.email_at, met.meeting_at
    from met
    inner join last_emails
        on last_emails.pair = met.pair
        and epoch_us(last_emails.email_at) // 86_400_000_000 = epoch_us(met.meeting_at) // 86_400_000_000
)

select
    labels.record_type,
    labels.record_id,
    persons.name as user_id,
    $month_end::timestamptz as month_end,
    shared.email_at,
    shared.meeting_at
from shared
inner join labels
    on labels.record_type = case shared.pair >> 60 when 1 then 'contact' when 2 then 'account' else 'colleague' end
    and labels.record = ((shared.pair >> 30) & 1_073_741_823)::integer
inner join persons on persons.person = (shared.pair & 1_073_741_823)::integer
order by shared.pair, shared.meeting_at

-- Copies of the month before whose emails may be questions or answers of emails of this month (N8): their conversation
-- goes on in this month.
-- An answer follows within 168 h of sent_at, and sent_at is at most 1 day after received_at (N4): the last 8 days of the
-- month before hold all partners of emails sent in this month. Emails that were sent before the month but arrived in it
-- may have older partners.
-- grain: (message_key, received_at). inputs: before_copies, month_copies, late_copies, settled_keys.
-- parameters: $month_start, $tail_start, $with_border (false: no rows).
with
conversations as (
    select distinct conversation_key
    from (
        select conversation_key from month_copies where $with_border
        union all
        select conversation_key from late_copies where $with_border
    )
    where conversation_key is not null
),

late_conversations as (
    select distinct conversation_key
    from month_copies
    where sent_at < $month_start and conversation_key is not null and $with_border
),

keys as (
    select message_key
    from before_copies
    where received_at >= $tail_start and conversation_key in (select conversation_key from conversations)
    union
    select message_key
    from before_copies
    where conversation_key in (select conversation_key from late_conversations)
    union
    select message_key
    from before_copies
    where received_at >= $tail_start and $with_border and message_key in (select message_key from settled_keys)
)

select distinct message_key, received_at
from before_copies
where message_key in (select message_key from keys)

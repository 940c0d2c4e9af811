-- Copies of the month before whose emails may be questions or answers of emails of this month (N8).
-- An answer follows within 168 h of sent_at, and sent_at is at most 1 day after received_at (N4): the last 8 days of the
-- month before hold all partners of emails sent in this month. Emails that were sent before the month but arrived in it
-- may have older partners, found by conversation.
-- grain: copy. inputs: before_copies, month_copies.
-- parameters: $month_start, $tail_start, $with_border (false: no rows).
with
late_conversations as (
    select distinct conversation_key from month_copies where sent_at < $month_start and conversation_key is not null
),

tail as (
    select * from before_copies where received_at >= $tail_start and $with_border
),

older_partners as (
    select *
    from before_copies
    where received_at < $tail_start
      and $with_border
      and conversation_key in (select conversation_key from late_conversations)
)

select * from tail
union all
select * from older_partners

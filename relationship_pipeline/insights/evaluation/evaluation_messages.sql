-- evaluation_messages: the messages an evaluation looks at.
-- grain: one message id; a row without an id is a message of its own
-- input: evaluation_source(message_id, sent_at, sender, recipients, conversation)
-- columns: message (number), sent_at (UTC), sender, recipients (distinct, lower case), audience (their number),
--   conversation (null where no answer is expected or the source does not tell)
-- Of several rows with one id only those of the earliest time count: a later copy must not add what a cut before it
-- could not have known.
create or replace temp table evaluation_messages as
with rows_read as (
    select
        coalesce(cast(message_id as varchar), 'row ' || row_number() over ()) as message_id,
        timezone('UTC', cast(sent_at as timestamptz)) as sent_at,
        nullif(lower(trim(cast(sender as varchar))), '') as sender,
        coalesce(recipients, []) as recipients,
        cast(conversation as varchar) as conversation
    from evaluation_source
    where sent_at is not null
),

earliest as (
    select *
    from rows_read
    qualify sent_at = min(sent_at) over (partition by message_id)
),

merged as (
    select
        message_id,
        min(sent_at) as sent_at,
        min(sender) as sender,
        list_distinct(list_filter(
            list_transform(flatten(list(recipients)), lambda r: nullif(lower(trim(cast(r as varchar))), '')),
            lambda r: r is not null
        )) as recipients,
        min(conversation) as conversation
    from earliest
    group by message_id
)

select
    row_number() over (order by sent_at, message_id) as message,
    sent_at,
    sender,
    recipients,
    len(recipients) as audience,
    conversation
from merged

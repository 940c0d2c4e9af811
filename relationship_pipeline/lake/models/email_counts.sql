-- The month's counts (B9), one row. Inputs: copies, ranked_copies, repeated_copies.
-- N4: a sent time that is missing, more than a day after the received one or more than 30 days before it is corrected.
with kept as (
    select
        ranked_copies.*,
        copies.received_at,
        copies.sent_at,
        copies.unresolved,
        copies.is_earlier
    from ranked_copies
    inner join copies on ranked_copies.row_number_in_copies = copies.rowid
)

select
    count(*) filter (where copy_rank = 1 and not is_meeting_message and not is_left_out) as distinct_emails,
    count(*) filter (where copy_rank > 1 and not is_meeting_message and not is_left_out)
    + (select count(*) from repeated_copies) as duplicates,
    count(*) filter (where is_meeting_message) as meeting_messages,
    count(*) filter (where copy_rank = 1 and is_left_out) as left_out_by_cap,
    count(*) filter (where is_left_out) as left_out_copies,
    coalesce(sum(unresolved) filter (where not is_left_out), 0)::bigint as unresolved_addresses,
    count(*) filter (
        where
        copy_rank = 1
        and not is_meeting_message
        and not is_left_out
        and (
            sent_at is null
            or sent_at > received_at + interval 1 day
            or sent_at < received_at - interval 30 days
        )
    ) as clock_corrected,
    count(*) filter (where is_earlier) as kept_earlier,
    min(received_at) filter (where not is_left_out) as first_at,
    max(received_at) filter (where not is_left_out) as last_at
from kept

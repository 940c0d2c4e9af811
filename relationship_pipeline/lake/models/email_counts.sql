-- The month's counts (B9), one row. Inputs: ranked_copies. Rows that repeat a copy are that copy (B5), not further ones.
select
    count(*) filter (where copy_rank = 1 and not is_meeting_message and not is_left_out) as distinct_emails,
    count(*) filter (where copy_rank > 1 and not is_meeting_message and not is_left_out) as duplicates,
    count(*) filter (where is_meeting_message) as meeting_messages,
    count(*) filter (where copy_rank = 1 and is_left_out) as left_out_by_cap,
    count(*) filter (where is_left_out) as left_out_copies,
    coalesce(sum(unresolved) filter (where not is_left_out), 0)::bigint as unresolved_addresses,
    count(*) filter (where copy_rank = 1 and not is_meeting_message and not is_left_out and is_off_clock)
        as clock_corrected,
    count(*) filter (where is_earlier) as kept_earlier,
    min(received_at) filter (where not is_left_out) as first_at,
    max(received_at) filter (where not is_left_out) as last_at
from ranked_copies

-- Days of stray_days on which a pair had no other contact: of the others the month of the day tells.
-- grain: (record_type, record_id, user_id, day). inputs: stray_days, email_pairs, meeting_pairs.
with
strays as (
    select distinct
        record_type,
        record_id,
        user_id,
        day,
        (date_trunc('month', day) + interval 1 month)::timestamptz as month_end
    from stray_days
),

pairs as (
    select record_type, record_id, user_id, month_end, day_marks from email_pairs
    union all
    select record_type, record_id, user_id, month_end, day_marks from meeting_pairs
),

counted as (
    select strays.*
    from pairs
    inner join strays
        on strays.record_id = pairs.record_id
        and strays.user_id = pairs.user_id
        and strays.month_end = pairs.month_end
        and strays.record_type = pairs.record_type
    where (pairs.day_marks >> (day(strays.day) - 1)) & 1 = 1
)

select strays.* exclude (month_end)
from strays
anti join counted
    on counted.record_type = strays.record_type
    and counted.record_id = strays.record_id
    and counted.user_id = strays.user_id
    and counted.day = strays.day

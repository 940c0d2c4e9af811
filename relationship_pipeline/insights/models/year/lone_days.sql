-- Days of stray_days on which a pair had no other contact: of the others the month of the day tells.
-- grain: (record_type, record_key, user_key, day). inputs: stray_days, email_pairs, meeting_pairs.
with
strays as (
    select distinct
        record_type,
        record_key,
        user_key,
        day,
        (date_trunc('month', day) + interval 1 month)::timestamptz as month_end
    from stray_days
),

pairs as (
    select record_type, record_key, user_key, month_end, day_marks from email_pairs
    union all
    select record_type, record_key, user_key, month_end, day_marks from meeting_pairs
),

counted as (
    select strays.*
    from pairs
    inner join strays
        on strays.record_key = pairs.record_key
        and strays.user_key = pairs.user_key
        and strays.month_end = pairs.month_end
        and strays.record_type = pairs.record_type
    where (pairs.day_marks >> (day(strays.day) - 1)) & 1 = 1
)

select strays.* exclude (month_end)
from strays
anti join counted
    on counted.record_type = strays.record_type
    and counted.record_key = strays.record_key
    and counted.user_key = strays.user_key
    and counted.day = strays.day

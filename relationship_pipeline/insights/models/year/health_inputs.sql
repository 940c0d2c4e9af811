-- What each score is made of, at the end of each month of the window and at as_of.
-- grain: (record_type, record_id, month). inputs: health_months, health_instants(month, first_on, on_day, is_now),
--   health_constants(k). parameters: $record_type (of the records that health_months holds).
with
ages as (
    select
        months.month as of_month,
        health_instants.month,
        health_instants.is_now,
        health_instants.on_day,
        pow(0.5, date_diff('day', last_day(months.month), health_instants.on_day) / k.half_life_days) as factor
    from (select distinct month from health_months) as months
    inner join health_instants on months.month <= health_instants.first_on
    cross join health_constants
),

sums as (
    select
        health_months.record_id,
        ages.month,
        ages.is_now,
        any_value(ages.on_day) as on_day,
        sum_no_overflow(health_months.emails_sent) as emails_sent,
        sum_no_overflow(health_months.emails_received) as emails_received,
        sum_no_overflow(health_months.meetings) as meetings,
        sum_no_overflow(health_months.calls_made) as calls_made,
        sum_no_overflow(health_months.calls_received) as calls_received,
        sum_no_overflow(health_months.sent_answerable) as asked_by_us,
        sum_no_overflow(health_months.received_answerable) as asked_by_them,
        sum_no_overflow(health_months.answered_by_us) as answered_by_us,
        sum_no_overflow(health_months.answered_by_them) as answered_by_them,
        sum_no_overflow(health_months.micros_by_us) as micros_by_us,
        sum_no_overflow(health_months.micros_by_them) as micros_by_them,
        sum(round(health_months.activity * ages.factor)::bigint) / 1_099_511_627_776 as activity,
        max(health_months.last_on) as last_on
    from health_months
    inner join ages on ages.of_month = health_months.month
    group by health_months.record_id, ages.month, ages.is_now
)

select
    $record_type::varchar as record_type,
    record_id,
    month,
    is_now,
    coalesce(activity, 0) as activity,
    greatest(date_diff('day', last_on, on_day), 0) as days_since_last,
    coalesce(emails_sent + emails_received + meetings + calls_made + calls_received, 0) as interactions,
    coalesce(emails_sent + calls_made + meetings, 0) as ours,
    coalesce(emails_received + calls_received + meetings, 0) as theirs,
    coalesce(answered_by_us, 0) as answered_by_us,
    coalesce(asked_by_them, 0) as asked_by_them,
    micros_by_us / 3_600_000_000 / nullif(answered_by_us, 0) as hours_by_us,
    coalesce(answered_by_them, 0) as answered_by_them,
    coalesce(asked_by_us, 0) as asked_by_us,
    micros_by_them / 3_600_000_000 / nullif(answered_by_them, 0) as hours_by_them
from sums
where last_on is not null

-- Counts of the meetings read (B9), one row. Inputs: ranked_meetings. Rows that repeat a copy are that copy (B5).
with kept as (
    select *
    from ranked_meetings
    where place = 1 and drop_reason is null
)

select
    (select count(distinct meeting_key) from kept) as distinct_meetings,
    (select count(*) - count(distinct meeting_key) from kept) as duplicates,
    (select coalesce(sum(unresolved), 0)::bigint from kept) as unresolved_addresses,
    (select count(*) from kept where is_earlier) as kept_earlier,
    (select min(start_at) from kept) as first_at,
    (select max(start_at) from kept) as last_at

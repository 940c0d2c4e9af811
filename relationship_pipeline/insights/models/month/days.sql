-- What emails there were on each day, by sent_at (N4), and the marks from which longer spans are summed.
-- `last_mark` = microseconds since 1970 x 8 + kind and direction (0 email received, 1 email sent): a maximum of it is
-- the latest interaction, decided the same way everywhere. `…_answerable`: bulk left out (N8).
-- grain: (record, day). inputs: turns.
select
    record,
    date '1970-01-01' + (epoch_us(sent_at) // 86_400_000_000)::integer as day,
    count(*) filter (where by_us) as emails_sent,
    count(*) filter (where not by_us) as emails_received,
    count(*) filter (where by_us and not is_bulk) as sent_answerable,
    count(*) filter (where not by_us and not is_bulk) as received_answerable,
    sum(team_micros)::bigint as team_micros,
    sum(customer_micros)::bigint as customer_micros,
    min(sent_at) as first_at,
    max(epoch_us(sent_at) * 8 + by_us::bigint) as last_mark
from turns
where not is_border
group by record, day

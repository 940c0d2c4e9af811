-- The first and the last default cut may not pass these times (K8): one row, UTC.
-- input: evaluation_messages
-- columns: first_cut, last_cut, data_until (the 99.9 percentile of sent_at)
select
    quantile_cont(sent_at, 0.001) + interval 120 days as first_cut,
    quantile_cont(sent_at, 0.999) - interval 30 days as last_cut,
    quantile_cont(sent_at, 0.999) as data_until
from evaluation_messages

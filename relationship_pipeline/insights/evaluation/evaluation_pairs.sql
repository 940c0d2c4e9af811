-- The rows of `--pairs` for one cut.
-- grain: one pair of the universe
-- inputs: evaluation_ties, evaluation_addresses; $cut (UTC)
-- columns: cut, a, b (addresses), label, strength and every baseline
select
    timezone('UTC', cast($cut as timestamp)) as cut,
    first.address as a,
    second.address as b,
    ties.* exclude (a, b, in_touch_60_days, last_age)
    replace (cast(ties.label as boolean) as label)
from evaluation_ties as ties
inner join evaluation_addresses as first on first.id = ties.a
inner join evaluation_addresses as second on second.id = ties.b
order by a, b

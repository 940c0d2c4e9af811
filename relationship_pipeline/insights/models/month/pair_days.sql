-- The last interaction of each day with contact between a pair, as far as it makes a tie (K2).
-- grain: (pair, day). inputs: pair_interactions.
select pair, max(micros) as last_micros
from pair_interactions
where is_tie
group by pair, micros // 86_400_000_000

-- When the pairs of the month met, as far as it makes a tie (K2).
-- grain: (pair, micros). inputs: pair_interactions (of meetings).
select distinct pair, micros
from pair_interactions
where is_tie

-- When the pairs of the month met, as far as it makes a tie (K2).
-- grain: (pair, meeting_at). inputs: pair_interactions (of meetings).
select distinct pair, happened_at as meeting_at
from pair_interactions
where is_tie

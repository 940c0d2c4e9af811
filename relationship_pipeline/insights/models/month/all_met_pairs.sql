-- Stands for met_pairs where meetings themselves are counted. grain: pair. inputs: interactions_of_pairs.
select distinct record_type, record, colleague
from interactions_of_pairs

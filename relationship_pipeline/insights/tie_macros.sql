-- Macros, no table: the arithmetic of domain/ties.py for whole tables.
-- Input: `k`, a struct with the fields of TieConstants (the only row of a relation the caller joins).

create or replace temp macro audience_weight(audience, k) as
    case
        when audience > k.largest_audience then 0.0
        when audience > k.full_audience then k.full_audience / cast(audience as double)
        else 1.0
    end;

create or replace temp macro decay(age_days, half_life_days) as
    pow(0.5, age_days / half_life_days);

-- one half-life's part of the score, from that half-life's four sums
create or replace temp macro tie_scale_part(outward, inward, meetings, days, k) as
    ln(1 + (
        outward + inward + 2 * k.meeting * meetings
        + k.reciprocity * sqrt((outward + k.meeting * meetings) * (inward + k.meeting * meetings))
        + k.contact_day * days
    ) / k.floor);

create or replace temp macro tie_last_contact_part(age_days, k) as
    k.last_contact * ln(1 + decay(age_days, k.last_contact_half_life_days) / k.floor);

create or replace temp macro tie_months_part(months, k) as
    k.months * ln(greatest(months, 1));

create or replace temp macro tie_strength(score, k) as
    100.0 * (1 - exp(-pow(score / k.strength_scale, k.strength_power)));

-- Macros, no table: the arithmetic of domain/health.py for whole tables.
-- Input: `k`, a struct with the fields of HealthConstants and of the health settings.

create or replace temp macro expected_activity(k) as
    1 / (1 - pow(0.5, k.cadence_days / k.half_life_days));

create or replace temp macro activity_share(activity, k) as
    least(1.0, log2(1 + activity / expected_activity(k)));

create or replace temp macro recency_share(days_since_last, k) as
    pow(0.5, greatest(days_since_last, 0) / (k.recency_cadences * k.cadence_days));

create or replace temp macro engagement_share(ours, theirs) as
    2 * least(ours, theirs) / greatest(ours + theirs, 1);

-- one side: null where nothing was due
create or replace temp macro answering(answered, asked, hours, k) as
    case when asked > 0 then answered / asked * pow(0.5, coalesce(hours, 0) / k.answer_half_life_hours) end;

create or replace temp macro responsiveness_share(by_us, by_them, k) as
    coalesce((by_us + by_them) / 2, by_us, by_them, k.unknown_responsiveness);

create or replace temp macro health_state(score, k) as
    case
        when score is null then 'not_enough_info'
        when score >= k.good_from then 'good'
        when score >= k.fair_from then 'fair'
        else 'poor'
    end;

-- of a closed opportunity or a lead that is not open; `instant`: when its health is told
create or replace temp macro closed_state(closed_at, instant) as
    case when closed_at < instant - interval 2 years then 'older_than_two_years' else 'not_applicable' end;

create or replace temp macro trend_change(recent, base, k) as
    ln(((recent + 0.5) / k.recent_days) / ((base + 0.5) / k.base_days));

create or replace temp macro trend_noise(recent, base) as
    sqrt(1 / (recent + 0.5) + 1 / (base + 0.5));

create or replace temp macro health_trend(recent, base, days_since_last, usual_gap, k) as
    case
        when abs(trend_change(recent, base, k)) < greatest(k.trend_step, k.trend_noise * trend_noise(recent, base))
            then 'steady'
        when trend_change(recent, base, k) > 0 then 'improving'
        when days_since_last > usual_gap then 'declining'
        else 'steady'
    end;

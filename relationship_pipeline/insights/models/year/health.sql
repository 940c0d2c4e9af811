-- Health as the KPI tables show it; the reasons are the two parts that speak most for the state.
-- grain: (record_type, record_id). inputs: health_now, health_component_rows.
with
ranked as (
    select
        *,
        row_number() over (
            partition by record_type, record_id
            order by
                case state when 'good' then -effect when 'poor' then effect else -abs(effect) end,
                position
        ) as turn
    from health_component_rows
),

sentences as (
    select
        record_type,
        record_id,
        string_agg(case when effect >= 0 then gain else loss end, ' and ' order by turn) as reasons
    from ranked
    where turn <= 2
    group by record_type, record_id
)

select
    health_now.record_type,
    health_now.record_id,
    health_now.score as health_score,
    health_now.state as health_state,
    health_now.trend as health_trend,
    case
        when health_now.score is not null
            then upper(health_now.state[1]) || health_now.state[2:] || ': ' || sentences.reasons || '.'
    end as health_reasons
from health_now
left join sentences
    on sentences.record_type = health_now.record_type and sentences.record_id = health_now.record_id

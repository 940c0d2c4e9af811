-- Published: relationships that ask for attention (product.md 7). grain: (record_type, record_id, kind).
-- inputs: health_now, health_rhythm, kpis, contact_accounts, health_constants(k). parameters: $as_of.
with
silences as (
    select
        health_rhythm.record_type,
        health_rhythm.record_id,
        greatest(health_rhythm.usual_gap, 1) as usual_gap,
        health_now.days_since_last,
        kpis.last_interaction_at,
        k
    from health_rhythm
    cross join health_constants
    inner join health_now
        on health_now.record_type = health_rhythm.record_type and health_now.record_id = health_rhythm.record_id
    inner join kpis on kpis.record_type = health_rhythm.record_type and kpis.record_id = health_rhythm.record_id
    where health_rhythm.usual_gap is not null and health_now.score is not null
),

quiet as (
    select
        *,
        days_since_last > k.lapsed_gaps * usual_gap as is_lapsed
    from silences
    where days_since_last > k.quiet_gaps * usual_gap
),

members as (
    select unnest(contact_accounts.accounts) as account_id, kpis.last_interaction_at, kpis.days_since_last_interaction
    from contact_accounts
    inner join kpis on kpis.record_type = 'contact' and kpis.record_id = contact_accounts.contact
),

accounts as (
    select
        members.account_id,
        count(*) as contacts,
        count(*) filter (where members.days_since_last_interaction < k.live_days) as live,
        max(members.last_interaction_at) filter (where members.days_since_last_interaction >= k.live_days)
            + to_days(any_value(k.live_days)) as since_others
    from members, health_constants
    group by members.account_id
),

threads as (
    select accounts.*, kpis.first_interaction_at
    from accounts
    cross join health_constants
    inner join kpis on kpis.record_type = 'account' and kpis.record_id = accounts.account_id
    where accounts.live = 1
      and kpis.emails_sent + kpis.emails_received + kpis.meetings_sent + kpis.meetings_received
        + kpis.phone_calls_made + kpis.phone_calls_received >= k.fewest_interactions
)

select
    record_type,
    record_id,
    case when is_lapsed then 'lapsed' else 'going_quiet' end as kind,
    last_interaction_at + to_microseconds(
        (case when is_lapsed then k.lapsed_gaps else k.quiet_gaps end * usual_gap * 86_400_000_000)::bigint
    ) as since,
    'silent for ' || days_since_last || ' days; usually in contact every '
        || case when usual_gap = 1 then 'day' else format('{:g}', usual_gap) || ' days' end as detail,
    $as_of::timestamptz as as_of
from quiet
union all
select
    'account',
    account_id,
    'single_threaded',
    coalesce(since_others, first_interaction_at),
    case
        when contacts = 1 then 'one contact only'
        else 'one of ' || contacts || ' contacts was in touch in the last 90 days'
    end,
    $as_of::timestamptz
from threads

-- Which activity counts for which record (product.md 6): between the people who count on both sides, or because the CRM
-- says it is regarding the record. The primary contact of an opportunity's account counts only in what is regarding it,
-- and then only with somebody of the team. Contacts and accounts are here with their calls and with what is regarding them
-- but was between others; their own emails and meetings are counted by month.
-- grain: (record_type, record_id, activity). inputs: crm_activities, crm_sides(record_type, record_id, contact,
--   only_if_regarding), crm_teams(record_type, record_id, team: null where anybody in scope counts), contact_accounts,
--   crm_regarding(activity, kind, record_type, record_id).
with
people as (
    select activity, kind, unnest(contacts) as contact
    from crm_activities
),

named_pairs as (
    select crm_sides.record_type, crm_sides.record_id, people.activity, people.kind
    from people
    inner join crm_sides on crm_sides.contact = people.contact
    where not crm_sides.only_if_regarding
    union
    select 'contact', contact, activity, kind
    from people
    where kind = 'phone_call'
    union
    select 'account', memberships.account_id, people.activity, people.kind
    from people
    inner join (select contact, unnest(accounts) as account_id from contact_accounts) as memberships
        on memberships.contact = people.contact
    where people.kind = 'phone_call'
),

counted_by_month as (
    select 'contact' as record_type, contact as record_id, activity, kind
    from people
    where kind <> 'phone_call'
    union all
    select 'account', memberships.account_id, people.activity, people.kind
    from people
    inner join (select contact, unnest(accounts) as account_id from contact_accounts) as memberships
        on memberships.contact = people.contact
    where people.kind <> 'phone_call'
),

pairs as (
    select record_type, record_id, activity, kind, bool_or(is_regarding) as is_regarding, bool_or(is_named) as is_named
    from (
        select record_type, record_id, activity, kind, false as is_regarding, true as is_named from named_pairs
        union all
        select record_type, record_id, activity, kind, true, false from crm_regarding
        anti join counted_by_month using (record_type, record_id, activity, kind)
    )
    group by record_type, record_id, activity, kind
),

sides as (
    select record_type, record_id, list(contact) as contacts,
        coalesce(list(contact) filter (where only_if_regarding), []) as primaries
    from crm_sides
    group by record_type, record_id
),

joined as (
    select
        pairs.record_type,
        pairs.record_id,
        pairs.is_regarding,
        pairs.is_named,
        crm_activities.*,
        crm_teams.team,
        case
            when crm_teams.team is null then crm_activities.inside
            else list_intersect(crm_activities.inside, crm_teams.team)
        end as team_inside,
        case
            when crm_teams.team is null then crm_activities.named
            else list_intersect(crm_activities.named, crm_teams.team)
        end as us,
        list_intersect(crm_activities.contacts, coalesce(sides.contacts, [])) as them,
        len(list_intersect(crm_activities.contacts, coalesce(sides.primaries, []))) > 0 as has_primary
    from pairs
    inner join crm_activities on crm_activities.activity = pairs.activity and crm_activities.kind = pairs.kind
    left join crm_teams on crm_teams.record_type = pairs.record_type and crm_teams.record_id = pairs.record_id
    left join sides on sides.record_type = pairs.record_type and sides.record_id = pairs.record_id
),

judged as (
    select *, team is null or len(team_inside) > 0 as has_team
    from joined
)

select
    record_type,
    record_id,
    activity,
    kind,
    happened_at,
    by_us,
    is_bulk,
    thread,
    us,
    them,
    case
        when kind = 'phone_call' then micros
        when kind = 'meeting' then micros * case when len(team_inside) > 0 then len(team_inside) else len(inside) end
        when by_us then 300_000_000
        else 150_000_000 * case when len(team_inside) > 0 then len(team_inside) else len(inside) end
    end::bigint as team_micros,
    case
        when kind <> 'email' then micros
        when by_us then 150_000_000 * len(them)
        else 300_000_000
    end::bigint as customer_micros
from judged
where case
    when is_regarding then has_team or is_named or not has_primary
    else has_team and len(inside) > 0
end

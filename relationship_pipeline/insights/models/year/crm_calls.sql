-- Phone calls of the CRM in the window, with who took part (From or To).
-- grain: call. inputs: crm_phonecalls (schemas.CRM), identities. parameters: $since, $as_of.
with
parties as (
    select
        crm_phonecalls.activity_id,
        unnest(list_distinct(list_append(crm_phonecalls.to_addresses, crm_phonecalls.from_address))) as address
    from crm_phonecalls
),

people as (
    select
        parties.activity_id,
        list_sort(list(distinct identities.person) filter (where identities.side = 'outside')) as contacts,
        list_sort(list(distinct identities.person) filter (where identities.side = 'us')) as inside
    from parties
    inner join identities on identities.address = parties.address
    group by parties.activity_id
)

select
    crm_phonecalls.activity_id,
    crm_phonecalls.started_at,
    crm_phonecalls.is_outgoing as by_us,
    round(crm_phonecalls.minutes * 60_000_000)::bigint as micros,
    coalesce(people.contacts, []) as contacts,
    coalesce(people.inside, []) as inside,
    crm_phonecalls.regarding_type,
    crm_phonecalls.regarding_id
from crm_phonecalls
left join people on people.activity_id = crm_phonecalls.activity_id
where crm_phonecalls.started_at >= $since and crm_phonecalls.started_at < $as_of

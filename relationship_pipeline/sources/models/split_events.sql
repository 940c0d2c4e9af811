-- One export file of calendar items, every row in the bucket that its month reads.
-- Grain: one line of the file. Inputs: $file, $columns (types by key, in the file's own spelling), $compression,
-- $max_object_size, $latest (no meeting starts later), windows_zones(name, zone). Series masters are no occurrences and
-- are rejected.
-- Columns: STAGED_MEETING and `bucket`, as in split_messages. Enums lose their decoration
-- (`microsoft.graph.responseType'accepted'`); times in a zone that has neither a Windows nor an IANA name are rejected.
-- A time with an offset of its own needs no zone.
with lines as (
    select *
    from read_json(
        $file,
        format = 'newline_delimited',
        columns = $columns,
        compression = $compression,
        maximum_object_size = $max_object_size,
        ignore_errors = true
    )
),

undecorated as (
    select
        *,
        regexp_extract(type, '([A-Za-z]+)''?$', 1) as plain_type,
        regexp_extract(sensitivity, '([A-Za-z]+)''?$', 1) as plain_sensitivity,
        regexp_extract(responsestatus.response, '([A-Za-z]+)''?$', 1) as plain_response
    from lines
),

timed as (
    select
        lower(trim(puser)) as mailbox,
        id as item_id,
        icaluid as ical_uid,
        seriesmasterid as series_id,
        lower(plain_type[1]) || plain_type[2:] as event_type,
        organizer.emailaddress.address as organizer_address,
        organizer.emailaddress.name as organizer_name,
        coalesce(isorganizer, false) as is_organizer,
        lower(plain_response[1]) || plain_response[2:] as own_response,
        list_transform(
            attendees,
            lambda a: {
                'address': a.emailaddress.address,
                'type': lower(regexp_extract(a.type, '([A-Za-z]+)''?$', 1)),
                'response': lower(regexp_extract(a.status.response, '([A-Za-z]+)''?$', 1)[1])
                || regexp_extract(a.status.response, '([A-Za-z]+)''?$', 1)[2:]
            }
        ) as attendees,
        case
            when regexp_matches("start".datetime, 'T.*[+-][0-9]{2}(:?[0-9]{2})?$') then 'UTC'
            else coalesce(nullif("start".timezone, ''), 'UTC')
        end as start_zone,
        case
            when regexp_matches("end".datetime, 'T.*[+-][0-9]{2}(:?[0-9]{2})?$') then 'UTC'
            else coalesce(nullif("end".timezone, ''), 'UTC')
        end as end_zone,
        try_cast("start".datetime as timestamptz) at time zone 'UTC' as start_clock,
        try_cast("end".datetime as timestamptz) at time zone 'UTC' as end_clock,
        start_clock at time zone 'UTC' as rough_start,
        coalesce(isallday, false) as is_all_day,
        coalesce(iscancelled, false) as is_cancelled,
        coalesce(isdraft, false) as is_draft,
        lower(plain_sensitivity) as sensitivity,
        rowinformation.isusersummaryrow as is_summary,
        coalesce(rowinformation.userhascompletedata or rowinformation.userreturnednodata, false)
        and rowinformation.errorinformation is null as is_complete,
        coalesce(id, puser, icaluid, type) is null and "start" is null and rowinformation is null as is_blank
    from undecorated
),

named as (
    select
        timed.* replace (
            coalesce(starts.zone, timed.start_zone) as start_zone,
            coalesce(ends.zone, timed.end_zone) as end_zone
        )
    from timed
    left join windows_zones as starts on lower(timed.start_zone) = starts.name
    left join windows_zones as ends on lower(timed.end_zone) = ends.name
),

zoned as (
    select
        *,
        case when start_zone in (select name from pg_timezone_names()) then timezone(start_zone, start_clock) end
            as start_at,
        case when end_zone in (select name from pg_timezone_names()) then timezone(end_zone, end_clock) end as end_at
    from named
),

judged as (
    select
        *,
        case
            when is_summary then if(is_complete, 'summary.complete', 'summary.incomplete')
            when is_blank then 'not_json'
            when coalesce(trim(item_id), '') = '' then 'no_item_id'
            when coalesce(mailbox, '') = '' then 'no_mailbox'
            when event_type = 'seriesMaster' then 'series_master'
            when rough_start is null then 'no_start_time'
            when rough_start not between timestamptz '1990-01-01 00:00:00+00' and $latest then 'impossible_date'
            when start_at is null then 'unknown_time_zone'
        end as verdict
    from zoned
)

select
    mailbox,
    item_id,
    ical_uid,
    series_id,
    event_type,
    organizer_address,
    organizer_name,
    is_organizer,
    own_response,
    attendees,
    start_at,
    greatest(start_at, coalesce(end_at, start_at)) as end_at,
    is_all_day,
    is_cancelled,
    is_draft,
    sensitivity,
    case
        when verdict is null then strftime(start_at, '%Y-%m')
        when is_summary then verdict
        when rough_start between timestamptz '1990-01-01 00:00:00+00' and $latest
            then 'rejected.' || verdict || '.' || strftime(rough_start, '%Y-%m')
        else 'rejected.' || verdict || '.none'
    end as bucket
from judged

-- Rows of CalendarView_v0 as Data Connect writes them. Grain: one copy. Inputs: copies (schemas.MEETINGS), $tenant.
select
    'AAMkE' || sha256(item_key::varchar) as id,
    '040000008200E00074C5B7101A82E008' || upper(replace(meeting_key::varchar, '-', '')) as "iCalUId",
    'AAMkS' || series_key::varchar as "seriesMasterId",
    if(series_key is null, 'microsoft.graph.eventType''singleInstance''', 'microsoft.graph.eventType''occurrence''') as type,
    {'emailAddress': {'name': organizer_address, 'address': organizer_address}} as organizer,
    is_organizer as "isOrganizer",
    {'response': 'microsoft.graph.responseType''' || own_response || ''''} as "responseStatus",
    list_transform(
        attendees,
        lambda a: {
            'type': 'microsoft.graph.attendeeType''' || a.type || '''',
            'status': {'response': 'microsoft.graph.responseType''' || a.response || ''''},
            'emailAddress': {'name': a.address, 'address': a.address}
        }
    ) as attendees,
    {'dateTime': strftime(start_at, '%Y-%m-%dT%H:%M:%S.0000000'), 'timeZone': 'UTC'} as "start",
    {'dateTime': strftime(end_at, '%Y-%m-%dT%H:%M:%S.0000000'), 'timeZone': 'UTC'} as "end",
    is_all_day as "isAllDay",
    is_cancelled as "isCancelled",
    false as "isDraft",
    'normal' as sensitivity,
    mailbox as puser,
    $tenant as ptenant,
    null as "pAdditionalInfo",
    {
        'isUserSummaryRow': false,
        'userHasCompleteData': true,
        'userReturnedNoData': false,
        'errorInformation': null
    } as rowinformation
from copies

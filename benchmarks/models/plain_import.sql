-- The least that an import of an export's messages could be: addresses in lower case, times as times, rows sorted by time.
-- Grain: one row. Inputs: $files, $columns (types by key).
select
    puser,
    id,
    internetmessageid,
    conversationid,
    conversationindex,
    sentdatetime::timestamptz as sent_at,
    receiveddatetime::timestamptz as received_at,
    lower("from".emailaddress.address) as from_address,
    "from".emailaddress.name as from_name,
    lower(sender.emailaddress.address) as sender_address,
    list_transform(torecipients, lambda r: lower(r.emailaddress.address)) as to_addresses,
    list_transform(ccrecipients, lambda r: lower(r.emailaddress.address)) as cc_addresses,
    parentfolderid,
    isdraft
from read_json($files, format = 'newline_delimited', columns = $columns)
order by received_at

-- One export file of messages, every row in the bucket that its month reads.
-- Grain: one line of the file. Inputs: $file, $columns (types by key, in the file's own spelling), $compression,
-- $max_object_size, $latest (no mail is younger), table folders(mailbox, folder_id, folder_class), $default_class (the
-- data set's own, where the folders say nothing better).
-- Columns: STAGED_EMAIL and `bucket`: a month `YYYY-MM`, or `rejected.<reason>.<month or none>`, or
-- `summary.<complete or incomplete>` (completeness evidence of a mailbox).
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

timed as (
    select
        lower(trim(puser)) as mailbox,
        id as item_id,
        internetmessageid as internet_message_id,
        conversationid as conversation_id,
        conversationindex as conversation_index,
        try_cast(sentdatetime as timestamptz) as sent_at,
        try_cast(receiveddatetime as timestamptz) as received_at,
        createddatetime as created_text,
        "from".emailaddress.address as from_address,
        "from".emailaddress.name as from_name,
        sender.emailaddress.address as sender_address,
        list_transform(torecipients, lambda r: r.emailaddress.address) as to_addresses,
        list_transform(ccrecipients, lambda r: r.emailaddress.address) as cc_addresses,
        parentfolderid as folder_id,
        coalesce(isdraft, false) as is_draft,
        coalesce(
            contains(lower(coalesce(odatatype, "@odata.type")), 'eventmessage'),
            false
        )
        or coalesce(lower(meetingmessagetype) not in ('', 'none'), false) as is_meeting_message,
        coalesce(
            len(
                list_filter(
                    internetmessageheaders,
                    lambda h: case lower(trim(h.name))
                        when 'list-id' then true
                        when 'list-unsubscribe' then true
                        when 'precedence' then lower(trim(h.value)) in ('bulk', 'list', 'junk')
                        when 'auto-submitted' then lower(trim(h.value)) <> 'no'
                        else false
                    end
                )
            ) > 0,
            false
        ) as has_bulk_header,
        rowinformation.isusersummaryrow as is_summary,
        coalesce(rowinformation.userhascompletedata or rowinformation.userreturnednodata, false)
        and rowinformation.errorinformation is null as is_complete,
        coalesce(id, puser, receiveddatetime, sentdatetime, internetmessageid, parentfolderid) is null
        and rowinformation is null as is_blank
    from lines
),

judged as (
    select
        * replace (
            case when sent_at between timestamptz '0001-01-02 00:00:00+00' and timestamptz '9999-12-31 00:00:00+00'
                then sent_at
            end as sent_at
        ),
        case
            when is_summary then if(is_complete, 'summary.complete', 'summary.incomplete')
            when is_blank then 'not_json'
            -- The first character tells most ids from white space; trimming long ids whole is dear.
            when coalesce(trim(left(item_id, 1)), '') = '' and coalesce(trim(item_id), '') = '' then 'no_item_id'
            when coalesce(mailbox, '') = '' then 'no_mailbox'
            when received_at is null then 'no_received_time'
            when received_at not between timestamptz '1990-01-01 00:00:00+00' and $latest then 'impossible_date'
        end as verdict
    from timed
)

select
    judged.mailbox,
    item_id,
    internet_message_id,
    conversation_id,
    conversation_index,
    sent_at,
    received_at,
    from_address,
    from_name,
    sender_address,
    to_addresses,
    cc_addresses,
    if(
        folders.folder_class is null or (folders.folder_class = 'other' and $default_class <> 'unknown'),
        $default_class,
        folders.folder_class
    ) as folder_class,
    is_draft,
    is_meeting_message,
    has_bulk_header,
    case
        when verdict is null then strftime(received_at, '%Y-%m')
        when is_summary then verdict
        when sent_at between timestamptz '1990-01-01 00:00:00+00' and $latest
            then 'rejected.' || verdict || '.' || strftime(sent_at, '%Y-%m')
        when try_cast(created_text as timestamptz) between timestamptz '1990-01-01 00:00:00+00' and $latest
            then 'rejected.' || verdict || '.' || strftime(try_cast(created_text as timestamptz), '%Y-%m')
        else 'rejected.' || verdict || '.none'
    end as bucket
from judged
left join folders on judged.mailbox = folders.mailbox and judged.folder_id = folders.folder_id

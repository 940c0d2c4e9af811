-- Rows of Message_v1 as Data Connect writes them. Grain: one copy. Inputs: copies (schemas.EMAIL, one generated batch),
-- $tenant. Addresses are as people write them: one in twenty with a capital, a few quoted with a name, a few X500.
with noisy as (
    select
        *,
        sha256(item_key::varchar) as noise,
        (hash(item_key) % 1000)::integer as kind,
        sha256(mailbox) as mailbox_noise,
        replace(conversation_key::varchar, '-', '') as conversation_hex,
        replace(message_key::varchar, '-', '') as message_hex
    from copies
),

written as (
    select
        *,
        case
            when kind < 50 then upper(from_address[1]) || from_address[2:]
            when kind < 52 then '''' || from_name || ''' <' || from_address || '>'
            when kind < 55 and ends_with(from_address, '@contoso.example')
                then '/o=ExchangeLabs/ou=Exchange Administrative Group/cn=Recipients/cn=' || replace(from_address, '@', '-')
            else from_address
        end as raw_from,
        case
            when kind >= 970 then ['deleteditems', 'junkemail', 'drafts'][1 + kind % 3]
            when folder_class = 'sent' then 'sentitems'
            else 'inbox'
        end as folder,
        strftime(received_at, '%Y-%m-%dT%H:%M:%SZ') as received_text
    from noisy
)

select
    'AAMkA' || noise || mailbox_noise as id,
    '<' || upper(message_hex) || '@mail.prod.outlook.com>' as "internetMessageId",
    to_base64(unhex('00042400' || mailbox_noise || '00112233445566' || conversation_hex)) as "conversationId",
    received_text as "createdDateTime",
    received_text as "lastModifiedDateTime",
    strftime(sent_at, '%Y-%m-%dT%H:%M:%SZ') as "sentDateTime",
    received_text as "receivedDateTime",
    folder = 'drafts' as "isDraft",
    true as "isRead",
    kind % 4 = 0 as "hasAttachments",
    'normal' as importance,
    'focused' as "inferenceClassification",
    'AQMk' || md5(mailbox || folder) as "parentFolderId",
    {'emailAddress': {'name': from_name, 'address': raw_from}} as "from",
    {'emailAddress': {'name': from_name, 'address': raw_from}} as sender,
    list_transform(to_addresses, lambda a: {'emailAddress': {'name': a, 'address': a}}) as "toRecipients",
    list_transform(cc_addresses, lambda a: {'emailAddress': {'name': a, 'address': a}}) as "ccRecipients",
    [] as "bccRecipients",
    mailbox as puser,
    $tenant as ptenant,
    null as "pAdditionalInfo",
    {
        'isUserSummaryRow': false,
        'userHasCompleteData': true,
        'userReturnedNoData': false,
        'errorInformation': null
    } as rowinformation
from written

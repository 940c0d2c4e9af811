-- Rows of MailFolder_v0. Grain: one well-known folder of one mailbox. Inputs: users(mailbox), $tenant.
with folders as (
    select
        mailbox,
        unnest(['inbox', 'sentitems', 'deleteditems', 'junkemail', 'drafts']) as folder
    from users
)

select
    'AQMk' || md5(mailbox || folder) as id,
    folder as "displayName",
    folder as "wellKnownName",
    'AQMk' || md5(mailbox || 'root') as "parentFolderId",
    mailbox as puser,
    $tenant as ptenant
from folders

-- Emails without the people who are suppressed everywhere (O4, O6), as if nobody had written to or from them.
-- grain: message_key. inputs: emails, hidden_here (one row: list of hidden addresses that occur in the month).
select
    emails.* replace (
        case when list_contains(hidden_here.addresses, sender) then null else sender end as sender,
        case
            when list_has_any(recipients, hidden_here.addresses)
                then list_filter(recipients, lambda address: not list_contains(hidden_here.addresses, address))
            else recipients
        end as recipients
    )
from emails, hidden_here

-- Emails without the people who are suppressed everywhere (O4, O6), as if nobody had written to or from them, and with
-- nobody in the place of colleagues who were out of scope when the email was received (N2: mail they send makes no count;
-- as recipients they are one of the audience and no more).
-- grain: email. inputs: emails, hidden_here (one row: list of hidden addresses that occur in the month), absent_here
-- (one row: addresses of people who are out of scope at times, and when).
select
    emails.* replace (
        case
            when list_contains(hidden_here.addresses, sender) then null
            when list_contains(absent_here.addresses, sender)
                and len(
                    list_filter(
                        absent_here.spells,
                        lambda spell: spell.address = sender and received_at >= spell.since and received_at < spell.until
                    )
                ) > 0
                then null
            else sender
        end as sender,
        case
            when list_has_any(recipients, absent_here.addresses)
                then list_transform(
                    list_filter(recipients, lambda address: not list_contains(hidden_here.addresses, address)),
                    lambda address: case
                        when len(
                            list_filter(
                                absent_here.spells,
                                lambda spell: spell.address = address
                                    and received_at >= spell.since
                                    and received_at < spell.until
                            )
                        ) = 0
                            then address
                    end
                )
            when list_has_any(recipients, hidden_here.addresses)
                then list_filter(recipients, lambda address: not list_contains(hidden_here.addresses, address))
            else recipients
        end as recipients
    )
from emails, hidden_here, absent_here

-- Macros, no table: the words of domain/ties.reasons for whole tables.
create or replace temp macro counted(number, noun) as
    number || ' ' || noun || case when number = 1 then '' else 's' end;

create or replace temp macro tie_reasons(emails_sent, emails_received, meetings, months, days) as
    concat_ws(
        ', ',
        case when days < 1 then 'in touch today' else 'in touch ' || counted(days, 'day') || ' ago' end,
        case
            when emails_sent > 0 and emails_received > 0
                then counted(emails_sent, 'email') || ' out and ' || emails_received || ' back'
            when emails_sent > 0 then counted(emails_sent, 'email') || ' out, none back'
            when emails_received > 0 then counted(emails_received, 'email') || ' in, none out'
        end,
        case when meetings > 0 then counted(meetings, 'meeting') end,
        case when months > 1 then 'contact in ' || least(months, 12) || ' of 12 months' end
    );

create or replace temp macro tie_band(strength, k) as
    case when strength >= k.strong_from then 'strong' when strength >= k.medium_from then 'medium' else 'weak' end;

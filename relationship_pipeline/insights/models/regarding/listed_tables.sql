-- listed_emails and listed_meetings, filled month by month: columns of crm_emails and crm_meetings (models/month).
create table listed_emails (
    message_key uuid,
    thread ubigint,
    sent_at timestamptz,
    by_us boolean,
    is_bulk boolean,
    contacts varchar[],
    inside varchar[],
    named varchar[]
);

create table listed_meetings (
    meeting_key uuid,
    start_at timestamptz,
    by_us boolean,
    micros bigint,
    contacts varchar[],
    inside varchar[]
);

-- Schema `history`, filled month by month.
-- history.messages, grain: message_id. columns: those of history_messages
-- history.meetings, grain: meeting_id. columns: those of history_meetings
create schema history;

create table history.messages (
    message_id varchar,
    sent_at timestamptz,
    sender varchar,
    recipients varchar[],
    conversation varchar
);

create table history.meetings (
    meeting_id varchar,
    start_at timestamptz,
    organizer varchar,
    attendees varchar[]
);

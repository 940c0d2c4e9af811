-- evaluation_health: health of outside contacts at one cut, as `relationship_health` has it (product.md 7), before rounding to points. Of
-- what makes a pair only: phone calls and mail to very many are not there. Bulk mail and sources without conversations
-- have no questions.
-- grain: one outside contact with an interaction in the 365 days before $cut
-- inputs: evaluation_events (pairs are inside, outside), health_constants (one row: k); $cut (UTC)
-- columns: b (address id of the contact), health (0 to 100), and its parts: activity, recency, engagement, responsiveness
create or replace temp table evaluation_health as
with interactions as (
    select
        b,
        kind,
        message,
        meeting,
        any_value(conversation) as conversation,
        any_value(sent_at) as sent_at
    from evaluation_events
    where sent_at < $cut and sent_at >= cast($cut as timestamp) - interval 365 days
    group by b, kind, message, meeting
),

aged as (
    select
        b,
        kind,
        date_diff('day', cast(sent_at as date), cast(cast($cut as timestamp) - interval 1 microsecond as date)) as age,
        case when kind = 'meeting' then k.weight_meeting else k.weight_email end / 6 as weight
    from interactions, health_constants
),

sums as (
    select
        b,
        sum(weight * pow(0.5, age / k.half_life_days)) as activity,
        min(age) as days_since_last,
        count(*) filter (kind <> 'inward') as ours,
        count(*) filter (kind <> 'outward') as theirs
    from aged, health_constants
    group by b
),

questions as (
    select
        b,
        conversation,
        kind = 'outward' as by_us,
        message,
        sent_at
    from interactions
    where conversation is not null
),

answers as (
    select distinct
        b,
        conversation,
        not by_us as question_by_us,
        sent_at
    from questions
),

paired as (
    select
        questions.b,
        questions.by_us,
        questions.sent_at,
        case when answers.sent_at <= questions.sent_at + interval 168 hours then answers.sent_at end as answered_at
    from questions
    asof left join answers
        on answers.b = questions.b
        and answers.conversation = questions.conversation
        and answers.question_by_us = questions.by_us
        and answers.sent_at > questions.sent_at
),

sides as (
    select
        b,
        by_us,
        answering(count(answered_at), count(*), avg(epoch(answered_at) - epoch(sent_at)) / 3600, any_value(k)) as share
    from paired, health_constants
    where answered_at is not null or sent_at <= cast($cut as timestamp) - interval 168 hours
    group by b, by_us
),

responses as (
    select
        b,
        any_value(share) filter (by_us) as by_them,
        any_value(share) filter (not by_us) as by_us
    from sides
    group by b
),

parts as (
    select
        sums.b,
        k.max_activity * activity_share(activity, k) as activity,
        k.max_recency * recency_share(days_since_last, k) as recency,
        k.max_engagement * engagement_share(ours, theirs) as engagement,
        k.max_responsiveness * responsiveness_share(responses.by_us, responses.by_them, k) as responsiveness
    from sums
    cross join health_constants
    left join responses on responses.b = sums.b
)

select
    *,
    round(activity + recency + engagement + responsiveness, 10) as health
from parts

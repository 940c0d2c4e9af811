-- The four parts of each score, with what each saw. grain: (record_type, record_id, component).
-- inputs: health_now, health_constants(k).
with
opened as (
    select
        record_type,
        record_id,
        state,
        unnest(
            [
                {
                    'position': 1,
                    'component': 'activity',
                    'points': activity,
                    'maximum': k.max_activity,
                    'detail': interactions || ' interactions in the year, one expected every ' || k.cadence_days
                        || case when k.cadence_days = 1 then ' day' else ' days' end,
                    'gain': 'contact is about as frequent as expected',
                    'loss': 'contact is rarer than expected'
                },
                {
                    'position': 2,
                    'component': 'recency',
                    'points': recency,
                    'maximum': k.max_recency,
                    'detail': 'last contact ' || days_since_last || case when days_since_last = 1 then ' day' else ' days' end || ' ago',
                    'gain': 'the last contact was '
                        || case when days_since_last = 0 then 'today'
                            when days_since_last = 1 then 'yesterday' else days_since_last || ' days ago' end,
                    'loss': 'the last contact was ' || days_since_last || ' days ago'
                },
                {
                    'position': 3,
                    'component': 'engagement',
                    'points': engagement,
                    'maximum': k.max_engagement,
                    'detail': ours || ' interactions from our side, ' || theirs || ' from theirs (a meeting is both)',
                    'gain': 'both sides take part',
                    'loss': case when ours > theirs then 'it is mostly our side that writes'
                        else 'it is mostly their side that writes' end
                },
                {
                    'position': 4,
                    'component': 'responsiveness',
                    'points': responsiveness,
                    'maximum': k.max_responsiveness,
                    'detail': case when asked > 0 then answered || ' of ' || asked || ' emails answered within 7 days'
                        else 'no email was due for an answer' end,
                    'gain': case when asked > 0 then 'emails are answered' else 'no email waits for an answer' end,
                    'loss': 'emails wait long or stay unanswered'
                }
            ]
        ) as part
    from health_now, health_constants
    where score is not null
)

select record_type, record_id, state, part.*, part.points - part.maximum / 2 as effect
from opened

-- Points by part before rounding; accounts as the mean of their contacts, weighted by interactions, where they are graded.
-- grain: (record_type, record_id, month). inputs: health_inputs, contact_accounts, health_constants(k).
with
shares as (
    select
        health_inputs.*,
        activity_share(activity, k) as activity_share,
        recency_share(days_since_last, k) as recency_share,
        engagement_share(ours, theirs) as engagement_share,
        responsiveness_share(
            answering(answered_by_us, asked_by_them, hours_by_us, k),
            answering(answered_by_them, asked_by_us, hours_by_them, k),
            k
        ) as responsiveness_share
    from health_inputs, health_constants
    where interactions >= k.fewest_interactions
),

own as (
    select
        record_type,
        record_id,
        month,
        is_now,
        interactions,
        days_since_last,
        ours,
        theirs,
        answered_by_us + answered_by_them as answered,
        asked_by_us + asked_by_them as asked,
        k.max_activity * activity_share as activity,
        k.max_recency * recency_share as recency,
        k.max_engagement * engagement_share as engagement,
        k.max_responsiveness * responsiveness_share as responsiveness
    from shares, health_constants
),

rolled_up as (
    select
        'account' as record_type,
        memberships.account_id as record_id,
        own.month,
        own.is_now,
        sum(own.interactions) as interactions,
        min(own.days_since_last) as days_since_last,
        sum(own.ours) as ours,
        sum(own.theirs) as theirs,
        sum(own.answered) as answered,
        sum(own.asked) as asked,
        sum(own.activity * own.interactions order by own.record_id) / sum(own.interactions) as activity,
        sum(own.recency * own.interactions order by own.record_id) / sum(own.interactions) as recency,
        sum(own.engagement * own.interactions order by own.record_id) / sum(own.interactions) as engagement,
        sum(own.responsiveness * own.interactions order by own.record_id) / sum(own.interactions) as responsiveness
    from own
    inner join (select contact, unnest(accounts) as account_id from contact_accounts) as memberships
        on memberships.contact = own.record_id
    cross join health_constants
    where own.record_type = 'contact' and k.accounts
    group by memberships.account_id, own.month, own.is_now
)

select * from own
union all
select * from rolled_up

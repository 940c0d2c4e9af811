-- Summary rows of Message_v1: the evidence that a mailbox is in the export whole. Grain: one mailbox.
-- Inputs: users(mailbox), $tenant.
select
    mailbox as puser,
    $tenant as ptenant,
    {
        'isUserSummaryRow': true,
        'userHasCompleteData': true,
        'userReturnedNoData': false,
        'errorInformation': null
    } as rowinformation
from users

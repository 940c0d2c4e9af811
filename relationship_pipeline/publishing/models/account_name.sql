-- What an account is called.
-- grain: account (none or one); parameter: looked_up (account id); input: account_kpis
select account_name
from account_kpis
where account_id = $looked_up

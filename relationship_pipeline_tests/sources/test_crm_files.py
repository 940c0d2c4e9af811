"""CRM rows from files (issue: forgiving about order and extra columns; bad rows counted by reason)."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relationship_pipeline.errors import BadInput
from relationship_pipeline.schemas import CRM
from relationship_pipeline.sources.crm_files import read_crm_files


def test_a_missing_folder_and_missing_files_hold_nothing(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        records = read_crm_files(folder)
        assert {kind: table.num_rows for kind, table in records.tables.items()} == dict.fromkeys(CRM, 0)
        assert all(table.schema == CRM[kind] for kind, table in records.tables.items())


def test_columns_may_come_in_any_order_and_case_with_others_between(tmp_path):
    (tmp_path / "contacts.csv").write_text(
        "\ufeffFullName,extra,EMAILADDRESS2,contactid,emailaddress1\n"
        "Ana Anaya,x,ana.private@gmail.com,co1, Ana <ANA@Fabrikam.com> \n",
        encoding="utf-8",
    )
    (row,) = read_crm_files(tmp_path).tables["contacts"].to_pylist()
    assert (row["contact_id"], row["name"]) == ("co1", "Ana Anaya")
    assert row["addresses"] == ["ana@fabrikam.com", "ana.private@gmail.com"]
    assert row["parent_id"] is None


def test_phone_calls_take_several_recipients_and_either_direction(tmp_path):
    (tmp_path / "phonecalls.csv").write_text(
        "activityid,from_address,to_addresses,directioncode,actualstart,actualdurationminutes,"
        "_regardingobjectid_value,regarding_type\n"
        "c1,megan@contoso.com,ana@fabrikam.com;bert@fabrikam.com,true,2025-03-01T10:00:00Z,12.5,op1,Opportunity\n"
        "c2,ana@fabrikam.com,megan@contoso.com,False,2025-03-02T10:00:00,,,\n"
    )
    first, second = read_crm_files(tmp_path).tables["phonecalls"].to_pylist()
    assert first["to_addresses"] == ["ana@fabrikam.com", "bert@fabrikam.com"]
    assert (first["is_outgoing"], first["minutes"], first["regarding_type"]) == (True, 12.5, "opportunity")
    assert (second["is_outgoing"], second["minutes"]) == (False, 0.0)
    assert second["started_at"] == datetime(2025, 3, 2, 10, tzinfo=UTC)


SHAPES = [
    (
        "phonecalls",
        "activityid,from_address,to_addresses,directioncode,actualstart,actualdurationminutes,_regardingobjectid_value,"
        "regarding_type\nc1,megan@contoso.com,ana@fabrikam.com,true,2025-03-01T10:00:00Z,5,op1,opportunity\n",
        "activityid,from_addressused,to_addressused,directioncode,actualstart,actualdurationminutes,regardingobjectid,"
        "regardingobjecttypecode\nc1,megan@contoso.com,ana@fabrikam.com,true,2025-03-01T10:00:00Z,5,op1,3\n",
    ),
    (
        "emails",
        "messageid,_regardingobjectid_value,regarding_type\n<1@x>,le1,lead\n",
        "messageid,_regardingobjectid_value,_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname\n<1@x>,le1,lead\n",
    ),
    (
        "stakeholders",
        "record_type,record_id,contactid,role\nopportunity,op1,co1,Buyer\nlead,le1,co1,\n",
        "opportunityid,leadid,contactid,rolename\nop1,,co1,Buyer\n,le1,co1,\n",
    ),
    (
        "opportunity_team",
        "opportunityid,systemuserid\nop1,2f1c\n",
        "opportunityid,systemuserid,azureactivedirectoryobjectid\nop1,not the directory's,2f1c\n",
    ),
    (
        "user_roles",
        "user,role\nmegan@contoso.com,Salesperson\n",
        "internalemailaddress,rolename\nmegan@contoso.com,Salesperson\n",
    ),
    ("user_roles", "user,role\n2f1c,Salesperson\n", "azureactivedirectoryobjectid,rolename\n2f1c,Salesperson\n"),
    (
        "contacts",
        "contactid,fullname,_parentcustomerid_value,_ownerid_value\nco1,Ana,ac1,2f1c\n",
        "contactid,fullname,parentcustomerid,ownerid\nco1,Ana,ac1,2f1c\n",
    ),
]


@pytest.mark.parametrize(("kind", "plain", "dataverse"), SHAPES)
def test_dataverses_column_names_read_the_same_as_the_plain_ones(tmp_path, kind, plain, dataverse):
    rows = []
    for name, text in (("plain", plain), ("dataverse", dataverse)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{kind}.csv").write_text(text)
        records = read_crm_files(folder)
        assert not records.rejected
        rows.append(records.tables[kind].to_pylist())
    assert rows[0] == rows[1] and rows[0]


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path):
    (tmp_path / "opportunities.csv").write_text(
        "opportunityid,name,estimatedvalue,statecode\nop1,One,100,0\n,No id,1,0\nop2,Two,much,0\nop1,Again,1,0\n"
    )
    (tmp_path / "phonecalls.csv").write_text(
        "activityid,actualstart,actualdurationminutes\nc1,,5\nc2,31 February,5\nc3,2025-01-01,-5\n"
    )
    (tmp_path / "appointments.csv").write_text(
        "globalobjectid,scheduledstart,_regardingobjectid_value\nuid1,,op1\nuid1,2025-01-01,op1\n,2025-01-01,op1\n"
    )
    records = read_crm_files(tmp_path)
    assert records.rejected == {
        ("appointments", "no_globalobjectid"): 1,
        ("appointments", "no_scheduledstart"): 1,
        ("opportunities", "no_opportunityid"): 1,
        ("opportunities", "bad_estimatedvalue"): 1,
        ("opportunities", "repeated_id"): 1,
        ("phonecalls", "no_actualstart"): 1,
        ("phonecalls", "bad_actualstart"): 1,
        ("phonecalls", "bad_actualdurationminutes"): 1,
    }
    assert records.tables["opportunities"].num_rows == 1


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e300"])
def test_numbers_that_no_crm_means_are_counted_and_left_out(tmp_path, number):
    (tmp_path / "leads.csv").write_text(f"leadid,statecode\nle1,{number}\n")
    (tmp_path / "phonecalls.csv").write_text(f"activityid,actualstart,actualdurationminutes\nc1,2025-01-01,{number}\n")
    assert read_crm_files(tmp_path).rejected == {
        ("leads", "bad_statecode"): 1,
        ("phonecalls", "bad_actualdurationminutes"): 1,
    }


def test_parquet_is_read_as_well(tmp_path):
    rows = [{"leadid": "le1", "fullname": "Dora", "emailaddress1": "dora@shop.example", "statecode": 2}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "Leads.parquet")
    (lead,) = read_crm_files(tmp_path).tables["leads"].to_pylist()
    assert (lead["lead_id"], lead["addresses"], lead["state"]) == ("le1", ["dora@shop.example"], 2)


def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path):
    (tmp_path / "accounts.parquet").write_bytes(b"not parquet")
    with pytest.raises(BadInput, match=r"accounts\.parquet"):
        read_crm_files(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"leadid;fullname\nle1;Dora\n", "separate its columns by commas"),
        ("leadid,fullname\nle1,Dorothée\n".encode("cp1252"), "not UTF-8"),
    ],
)
def test_a_file_as_spreadsheets_save_it_elsewhere_is_named_in_one_line(tmp_path, content, complaint):
    (tmp_path / "leads.csv").write_bytes(content)
    with pytest.raises(BadInput, match=rf"leads\.csv.*{complaint}"):
        read_crm_files(tmp_path)


def test_a_kind_in_both_forms_is_refused(tmp_path):
    for name in ("leads.csv", "leads.parquet"):
        (tmp_path / name).write_text("leadid\n")
    with pytest.raises(BadInput, match=r"leads\.csv and leads\.parquet"):
        read_crm_files(tmp_path)


def test_files_of_other_names_are_counted_not_taken_for_a_company_without_a_crm(tmp_path):
    for name in ("account.csv", "Contacts.CSV", "notes.txt", "leads.parquet.bak"):
        (tmp_path / name).write_text("contactid,emailaddress1\nc1,ana@fabrikam.com\n")
    records = read_crm_files(tmp_path)
    assert records.unread == 1
    assert records.tables["contacts"].num_rows == 1

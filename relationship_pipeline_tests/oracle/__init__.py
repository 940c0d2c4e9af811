"""An independent recount of the published tables, in plain Python over the raw rows: slow and obvious.

It shares no code with the package it checks; only the standard library, publicsuffixlist and idna are used. The rules
are those of product.md (N1-N11, B1-B9, K2) and the columns those of interfaces.md 6. Where these leave room, the
docstrings of the modules say which reading is taken:

    addresses.py   N1, N11   spelling of addresses, registrable domains
    export.py                files of an export folder to rows
    people.py      N2        directory, aliases, sides
    mail.py        B2-B7     copies, emails, months, cap
    meetings.py    N10       meetings from their copies
    activities.py  N6, N9    what counts for whom, and minutes
    kpis.py        N6-N11    the tables
    crm.py                   CRM rows from CSV
    recount.py               all of it together
    compare.py               published tables against it
"""

from relationship_pipeline_tests.oracle.compare import differences
from relationship_pipeline_tests.oracle.crm import Crm, read_crm
from relationship_pipeline_tests.oracle.export import Export, read_export
from relationship_pipeline_tests.oracle.recount import recount

__all__ = ["Crm", "Export", "differences", "read_crm", "read_export", "recount"]

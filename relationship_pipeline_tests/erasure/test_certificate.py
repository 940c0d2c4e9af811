"""Certificates: chained, signed, verifiable offline; any changed byte or missing field fails (W4)."""

from __future__ import annotations

import json
import random
import shutil
from datetime import timedelta

import pytest

from relationship_pipeline.durable import TEMP_PREFIX
from relationship_pipeline.erasure.certificate import FIELDS, issue_certificate, verify_certificate
from relationship_pipeline.errors import BadInput
from relationship_pipeline_tests.command import refuse, succeed
from relationship_pipeline_tests.erasure.lived_in import NOW

GIVEN = FIELDS - {
    "schema",
    "number",
    "kind",
    "epoch",
    "issued_at",
    "previous",
    "attests",
    "cannot_attest",
    "public_key",
    "signature",
}
FACTS = {name: {"count": 3} for name in GIVEN}


@pytest.fixture
def certificate(layout):
    return issue_certificate(layout, "e0001-00000000", "app", FACTS, NOW)


def test_w4_a_certificate_verifies_anywhere_with_nothing_but_its_file(certificate, tmp_path):
    alone = tmp_path / "elsewhere" / "proof.json"
    alone.parent.mkdir()
    shutil.copy(certificate, alone)
    assert verify_certificate(alone)["epoch"] == "e0001-00000000"


def test_w4_any_flipped_bit_fails(certificate, tmp_path):
    whole = certificate.read_bytes()
    rng = random.Random(5)
    copy = tmp_path / "flipped.json"
    for position in [*range(0, len(whole), 7), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.randrange(8)
        copy.write_bytes(flipped)
        with pytest.raises(BadInput):
            verify_certificate(copy)


def test_w4_any_missing_added_or_moved_field_fails(certificate, tmp_path):
    content = json.loads(certificate.read_bytes())
    copy = tmp_path / "changed.json"
    changed = [{k: v for k, v in content.items() if k != name} for name in content] + [content | {"note": "x"}]
    for one in changed:
        copy.write_text(json.dumps(one, sort_keys=True, indent=1) + "\n")
        with pytest.raises(BadInput, match="not a whole certificate"):
            verify_certificate(copy)
    copy.write_text(json.dumps(content, sort_keys=True))
    with pytest.raises(BadInput, match="not written as it was issued"):
        verify_certificate(copy)
    for text in ("", "[]", "{", "null"):
        copy.write_text(text)
        with pytest.raises(BadInput):
            verify_certificate(copy)


def test_w4_the_command_exits_1_for_a_flipped_byte_and_for_a_removed_field(certificate):
    assert "genuine" in succeed("erase", "certificate", "--verify", str(certificate))
    whole = certificate.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    content = json.loads(whole)
    del content["scan"]
    for changed in (flipped, json.dumps(content, sort_keys=True, indent=1).encode() + b"\n"):
        certificate.write_bytes(changed)
        refuse("erase", "certificate", "--verify", str(certificate))


def test_w4_a_certificate_signed_by_another_key_fails_beside_the_published_key(certificate, layout, tmp_path):
    other = type(layout)(tmp_path / "other")
    forged = issue_certificate(other, "e0001-00000000", "app", FACTS, NOW)
    shutil.copy(forged, certificate)
    with pytest.raises(BadInput, match="another key"):
        verify_certificate(certificate)


def test_w4_the_chain_shows_a_replaced_certificate(certificate, layout):
    second = issue_certificate(layout, "e0001-00000000", "final", FACTS, NOW + timedelta(days=1))
    assert verify_certificate(second)["number"] == 2
    first = certificate.read_bytes()
    certificate.unlink()
    issue_certificate(layout, "e0001-00000000", "app", FACTS | {"deleted": {"count": 4}}, NOW)
    replaced = next(layout.certificates.glob("*-app.json"))
    replaced.rename(certificate)
    assert certificate.read_bytes() != first
    with pytest.raises(BadInput, match="does not follow"):
        verify_certificate(second)


def test_an_epoch_gets_one_certificate_of_a_kind_however_often_it_is_asked(certificate, layout):
    assert issue_certificate(layout, "e0001-00000000", "app", FACTS, NOW + timedelta(days=1)) == certificate
    assert len(list(layout.certificates.iterdir())) == 1


def test_w4_nothing_but_certificates_lies_in_their_folder_after_a_kill(certificate, layout):
    (layout.certificates / f"{TEMP_PREFIX}0123456789abcdef").write_bytes(certificate.read_bytes())
    issue_certificate(layout, "e0001-00000000", "app", FACTS, NOW)
    assert list(layout.certificates.iterdir()) == [certificate]

"""Certificates of deletion: canonical JSON, hash-chained, signed with Ed25519, without personal data (W4).

`verify_certificate` needs the file only: no network, no data directory. Beside its siblings it also checks the chain,
and below a control folder that the key is the one published there.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from relationship_pipeline.durable import TEMP_PREFIX, put_bytes
from relationship_pipeline.errors import BadInput
from relationship_pipeline.layout import Layout

SCHEMA = "relationship-pipeline/erasure-certificate/1"
FIELDS = frozenset(
    {
        "schema",
        "number",
        "kind",
        "epoch",
        "issued_at",
        "previous",
        "request",
        "steps",
        "deleted",
        "before",
        "after",
        "scan",
        "key",
        "backups",
        "remains",
        "outside",
        "attests",
        "cannot_attest",
        "versions",
        "public_key",
        "signature",
    }
)
"""A certificate holds exactly these."""

ATTESTS = (
    "At issued_at no file of the epoch was left in the data directory, no process that could be seen held one open, no "
    "address-shaped text was found in what remains, the epoch's backup key was gone, and no run of it can commit."
)
CANNOT_ATTEST = (
    "Copies that people made (exports, snapshots of the volume, copies of keys), memory and swap, blocks of a disk "
    "that is not encrypted, processes counted in scan.processes_unseen, and everything named under outside."
)


def find_certificate(layout: Layout, epoch: str, kind: str) -> Path | None:
    """The certificate of an epoch and kind (`app`, `final`), if it was issued."""
    return next(iter(layout.certificates.glob(f"*-{epoch}-{kind}.json")), None)


def issue_certificate(layout: Layout, epoch: str, kind: str, facts: Mapping[str, Any], now: datetime) -> Path:
    """Write the next certificate of the chain and return its path; one that stands already is kept. What a motor that was
    killed while writing one left goes: nothing but certificates lies there (interfaces.md 5)."""
    for temp in layout.certificates.glob(f"{TEMP_PREFIX}*"):
        temp.unlink(missing_ok=True)
    standing = find_certificate(layout, epoch, kind)
    if standing is not None:
        return standing
    key = _signing_key(layout)
    earlier = sorted(layout.certificates.glob("*.json")) if layout.certificates.is_dir() else []
    number = int(earlier[-1].name.partition("-")[0]) + 1 if earlier else 1
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "number": number,
        "kind": kind,
        "epoch": epoch,
        "issued_at": now.isoformat(),
        "previous": hashlib.sha256(earlier[-1].read_bytes()).hexdigest() if earlier else None,
        "attests": ATTESTS,
        "cannot_attest": CANNOT_ATTEST,
        "public_key": _public_text(key.public_key()),
        **facts,
    }
    content["signature"] = b64encode(key.sign(_signed_bytes(content))).decode()
    missing = FIELDS ^ set(content)
    if missing:
        raise ValueError(f"a certificate needs exactly its fields; differing: {sorted(missing)}")
    path = layout.certificates / f"{number:04d}-{epoch}-{kind}.json"
    put_bytes(path, _file_bytes(content))
    return path


def verify_certificate(path: Path) -> dict[str, Any]:
    """The certificate's content if every byte of it is as it was signed. Raises BadInput that says what is wrong."""
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except (OSError, ValueError):
        raise BadInput(f"{path.name} is not a certificate that can be read") from None
    if not isinstance(content, dict) or set(content) != FIELDS or content["schema"] != SCHEMA:
        raise BadInput(f"{path.name} is not a whole certificate: fields are missing, added or of another version")
    if raw != _file_bytes(content):
        raise BadInput(f"{path.name} was changed: it is not written as it was issued")
    try:
        key = Ed25519PublicKey.from_public_bytes(b64decode(content["public_key"], validate=True))
        key.verify(b64decode(content["signature"], validate=True), _signed_bytes(content))
    except (InvalidSignature, ValueError, TypeError):
        raise BadInput(f"{path.name} was changed: its signature does not fit its content") from None
    _check_key(path, content)
    _check_chain(path, content)
    return content


def _check_key(path: Path, content: Mapping[str, Any]) -> None:
    published = path.absolute().parent.parent / "certificate_key.pub"
    if published.is_file() and published.read_text(encoding="ascii").strip() != content["public_key"]:
        raise BadInput(f"{path.name} was signed by another key than control/certificate_key.pub")


def _check_chain(path: Path, content: Mapping[str, Any]) -> None:
    """The certificate before, where it lies beside this one."""
    before = next(iter(path.absolute().parent.glob(f"{content['number'] - 1:04d}-*.json")), None)
    if before is not None and hashlib.sha256(before.read_bytes()).hexdigest() != content["previous"]:
        raise BadInput(f"{path.name} does not follow {before.name}: one of them was changed or replaced")


def _signing_key(layout: Layout) -> Ed25519PrivateKey:
    path = layout.control / "certificate.key"
    if not path.exists():
        put_bytes(path, Ed25519PrivateKey.generate().private_bytes_raw())
    key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    public = layout.control / "certificate_key.pub"
    if not public.exists():
        put_bytes(public, f"{_public_text(key.public_key())}\n".encode())
    return key


def _public_text(key: Ed25519PublicKey) -> str:
    return b64encode(key.public_bytes_raw()).decode()


def _signed_bytes(content: Mapping[str, Any]) -> bytes:
    unsigned = {name: value for name, value in content.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _file_bytes(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode()

"""Who at the operating system may open a published file: `[publish] group.<role>` (interfaces.md 5).

Files of a role with a group are 0640 and its group's; the folders on their path 0710. Several groups share the folders
by POSIX access control entries that allow each of them to pass (`--x`), so that none can list and others see nothing.
"""

from __future__ import annotations

import grp
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from relationship_pipeline.errors import BadInput
from relationship_pipeline.layout import EpochLayout, Layout

_ACL = "system.posix_acl_access"
_USER_OBJ, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_ALL, _PASS, _NONE = 7, 1, 0


def group_ids(groups: Mapping[str, str]) -> dict[str, int]:
    """Group ids by role. Raises BadInput naming the setting of a group that does not exist here."""
    ids = {}
    for role, name in groups.items():
        try:
            ids[role] = grp.getgrnam(name).gr_gid
        except KeyError:
            raise BadInput(f"setting publish.group.{role}: there is no group {name} on this machine") from None
    return ids


def give_file(path: Path, group: int | None) -> None:
    """0600, or 0640 and the group's. Raises BadInput when the group cannot be given."""
    if group is not None:
        try:
            os.chown(path, -1, group)
        except PermissionError:
            raise BadInput(
                "a group of [publish] cannot be given to files: the user who runs the pipeline must be its member"
            ) from None
    path.chmod(0o600 if group is None else 0o640)


def open_path(layout: Layout, epoch: EpochLayout, groups: Iterable[int]) -> None:
    """Let these groups, and no others, pass through the folders from the data directory to the epoch's published files
    (0710; 0700 without any)."""
    ids = sorted(set(groups))
    for folder in (layout.root, layout.epochs, epoch.root, epoch.published):
        if not ids:
            folder.chmod(0o700)
            continue
        os.chown(folder, -1, ids[0])
        folder.chmod(0o710)
        if len(ids) > 1:
            _let_pass(folder, ids[1:])


def _let_pass(folder: Path, groups: list[int]) -> None:
    entries = [
        (_USER_OBJ, _ALL, _NO_ID),
        (_GROUP_OBJ, _PASS, _NO_ID),
        *((_GROUP, _PASS, group) for group in groups),
        (_MASK, _PASS, _NO_ID),
        (_OTHER, _NONE, _NO_ID),
    ]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(folder, _ACL, value)
    except OSError:
        raise BadInput(
            "[publish] names several groups, and this file system has no access control lists; name one group for all"
        ) from None

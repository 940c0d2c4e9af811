"""The directory in the lake: four small files in one manifest, replaced at each reading.

Somebody who is no longer listed stays as `is_gone`, with the last known addresses, so that mail collected from them
keeps its sender (O1: what was collected before stays) until their data is erased.
"""

from __future__ import annotations

from dataclasses import replace

from relationship_pipeline.errors import BadLake
from relationship_pipeline.lake.manifest import Manifest
from relationship_pipeline.lake.tables import load_tables, store_tables
from relationship_pipeline.lake.writer import CommitFence
from relationship_pipeline.layout import EpochLayout
from relationship_pipeline.sources.base import Directory

DIRECTORY_TABLE = "directory"
GONE_ARE_LOST = (
    "the directory's files were damaged and were read anew: who had left before is no longer known, and restoring a "
    "backup brings that back"
)
FILES = ("users", "addresses", "group_members", "domains")


def load_directory(epoch: EpochLayout) -> Directory | None:
    """The last committed reading, None before the first. Raises BadLake."""
    loaded = load_tables(epoch, DIRECTORY_TABLE)
    if loaded is None:
        return None
    manifest, tables = loaded
    return Directory(read_at=manifest.created_at, **{name: tables[name] for name in FILES})


def store_directory(epoch: EpochLayout, directory: Directory, fence: CommitFence) -> tuple[Directory, Manifest]:
    """Commit a reading, with those it no longer lists kept as gone. Where what stands is damaged they are lost, and the
    quality record says so: refusing would keep every later reading from mending it. Raises ConsentRefused from the
    fence."""
    quality = {}
    try:
        earlier = load_directory(epoch)
    except BadLake:
        earlier, quality = None, {"notes": [GONE_ARE_LOST]}
    merged = keep_gone(earlier, directory)
    parts = {name: getattr(merged, name) for name in FILES}
    manifest = store_tables(epoch, DIRECTORY_TABLE, parts, fence, quality=quality)
    return merged, manifest


def keep_gone(earlier: Directory | None, now: Directory) -> Directory:
    """The new reading plus the users only the earlier one had, marked gone, with those of their addresses that nobody has
    taken over. Pure."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if earlier is None:
        return now
    listed = now.users.column("user_id")
    missing = earlier.users.filter(
        pc.invert(pc.is_in(earlier.users.column("user_id"), value_set=listed.combine_chunks()))
    )
    if not missing.num_rows:
        return now
    position = missing.schema.get_field_index("is_gone")
    gone = missing.set_column(position, "is_gone", pa.array([True] * missing.num_rows))
    theirs = earlier.addresses.filter(
        pc.and_(
            pc.is_in(earlier.addresses.column("user_id"), value_set=missing.column("user_id").combine_chunks()),
            pc.invert(
                pc.is_in(
                    earlier.addresses.column("address"), value_set=now.addresses.column("address").combine_chunks()
                )
            ),
        )
    )
    return replace(now, users=pa.concat_tables([now.users, gone]), addresses=pa.concat_tables([now.addresses, theirs]))

"""Small tables without months: several Arrow tables, one file each, under one manifest, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relationship_pipeline.durable import temp_path
from relationship_pipeline.lake.manifest import Manifest
from relationship_pipeline.lake.reader import read_whole
from relationship_pipeline.lake.writer import CommitFence, adopt_part, commit_manifest
from relationship_pipeline.layout import EpochLayout

if TYPE_CHECKING:
    import pyarrow as pa


def store_tables(
    epoch: EpochLayout,
    table: str,
    parts: Mapping[str, pa.Table],
    fence: CommitFence,
    *,
    sort_columns: int = 2,
    quality: Mapping[str, Any] | None = None,
) -> Manifest:
    """Commit the parts, each sorted by its first columns so that equal rows give equal bytes. The caller holds the
    table's lock. Raises ConsentRefused."""
    import pyarrow.parquet as pq

    folder = epoch.table(table)
    files = []
    for name, part in parts.items():
        temp = temp_path(folder, ".parquet")
        order = [(column, "ascending") for column in part.column_names[:sort_columns]]
        pq.write_table(part.sort_by(order), temp, compression="zstd")
        files.append(adopt_part(temp, name, part.num_rows))
    return commit_manifest(
        folder, epoch=epoch.epoch, table=table, month=None, files=files, fence=fence, quality=dict(quality or {})
    )


def load_tables(epoch: EpochLayout, table: str) -> tuple[Manifest, dict[str, pa.Table]] | None:
    """The committed parts by name, None where nothing was committed. Raises BadLake."""
    import pyarrow.parquet as pq

    folder = epoch.table(table)
    return read_whole(
        folder,
        lambda manifest: {file.table: pq.read_table(folder / file.name, partitioning=None) for file in manifest.files},
    )

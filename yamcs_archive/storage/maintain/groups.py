"""Groups of blocks: a zone map over some 256 blocks, with which a query passes over all of them at once."""

from __future__ import annotations

from yamcs_archive.limits import GROUP_BLOCKS_MAX
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.zone_maps import ZoneMap
from yamcs_archive.storage.write.transaction import WriteTransaction


def close_groups(stored: WriteTransaction) -> bool:
    """Close the next full group of blocks; return False if there is none.

    A group is closed when twice its number of blocks follow the last closed group, so that the newest
    blocks, which still change, are in no group.
    """
    found = stored.blocks_after_groups(2 * GROUP_BLOCKS_MAX)
    if len(found) < 2 * GROUP_BLOCKS_MAX:
        return False
    group = ZoneMap.merge(found[:GROUP_BLOCKS_MAX])
    failpoint("group-merged")
    stored.put_group(group)
    failpoint("group-put")
    return True

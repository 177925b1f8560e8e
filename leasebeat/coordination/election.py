"""Who tries to be the auditor: the first of a line of ephemeral sequential znodes.

Each candidate watches the one before it only, so that an end wakes one node and not all. A create
whose answer was lost may have made a znode all the same: candidates are found by the id in front of
their number, and all but the first of one's own are removed.
"""

from __future__ import annotations

from leasebeat.coordination.link import Link


class Candidacy:
    """One node's place in the line. Belongs to the coordinator's thread."""

    def __init__(self, link: Link, root: str, own_id: str, name: str) -> None:
        self._link = link
        self._path = f"{root}/auditor"
        self._prefix = f"{own_id}-"
        self._data = name.encode()

    def stand(self) -> bool:
        """Be in the line, once; whether this node is its first."""
        line = self._line()
        own = [each for each in line if each.startswith(self._prefix)]
        if not own:
            self._link.create(f"{self._path}/{self._prefix}", self._data, ephemeral=True, sequential=True)
            line = self._line()
            own = [each for each in line if each.startswith(self._prefix)]
        for left_over in own[1:]:
            self._link.delete(f"{self._path}/{left_over}")
        if not own:
            return False
        place = line.index(own[0])
        if place:
            self._link.exists(f"{self._path}/{line[place - 1]}")  # the watch
        return place == 0

    def withdraw(self) -> None:
        """Be in it no more, whatever an earlier create has left."""
        for each in self._line():
            if each.startswith(self._prefix):
                self._link.delete(f"{self._path}/{each}")

    def _line(self) -> list[str]:
        """The candidates, the first of all first."""
        return sorted(self._link.children(self._path, watch=False), key=lambda each: each.rpartition("-")[2])

"""
Which ids belong to one user, as Mixpanel joins them: aliases and merges in original projects, devices in simplified
ones.

A command that breaks a condition is answered with success and changes nothing; what Mixpanel writes on the stored event
then, ``errAliasAlreadyExists`` and the like, is what these functions give back as the reason.
Source: https://docs.mixpanel.com/docs/tracking-methods/id-management/identifying-users-original and
https://docs.mixpanel.com/docs/tracking-methods/id-management/identifying-users-simplified
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

__all__ = ["DEVICE", "MAX_CLUSTER", "Identities"]

MAX_CLUSTER: Final = 500
"""So many ids can belong to one user in an original project."""

DEVICE: Final = "$device:"
"""What a distinct_id begins with that names a device, in a simplified project."""

_UUID_4: Final = re.compile(
    r"(?:\$device:)?[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.IGNORECASE
)


@frozen
class Identities:
    """
    The links between ids. An id without a link stands for itself.

    Attributes:
        users: Id to the id that stands for the user.
        clusters: The id that stands for a user to all ids of it, itself included.
        aliases: Alias to the id that it was made for.
        anonymous: Anonymous id to the known id that it was identified as.
        devices: Device to user, in a simplified project; the first link stays.
    """

    users: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    clusters: Mapping[str, tuple[str, ...]] = field(factory=dict[str, tuple[str, ...]], repr=False)
    aliases: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    anonymous: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    devices: Mapping[str, str] = field(factory=dict[str, str], repr=False)

    def user_of(self, distinct_id: str) -> str:
        """
        The id that stands for the user to whom *distinct_id* belongs.
        """
        if distinct_id.startswith(DEVICE) and (user := self.devices.get(distinct_id[len(DEVICE) :])) is not None:
            return user
        return self.users.get(distinct_id, distinct_id)

    def aliased(self, distinct_id: str, alias: str) -> tuple[Identities, str]:
        """
        With *alias* as another id of *distinct_id*; and why not, or nothing.
        """
        if distinct_id == alias:
            return self, "errSameIDs"
        if self.aliases.get(alias, distinct_id) != distinct_id:
            return self, "errAliasAlreadyExists"
        joined, reason = self.merged(distinct_id, alias)
        if reason:
            return self, reason
        return evolve(joined, aliases={**joined.aliases, alias: distinct_id}), ""

    def identified(self, known: str, anonymous: str) -> tuple[Identities, str]:
        """
        With *anonymous* as another id of *known*; and why not, or nothing.
        """
        if known == anonymous:
            return self, "errSameIDs"
        if _UUID_4.fullmatch(anonymous) is None:
            return self, "errAnonDistinctIdNonGUIDForm"
        before = self.anonymous.get(anonymous)
        if before is not None and self.user_of(before) != self.user_of(known):
            return self, "errAnonDistinctIdAssignedAlready"
        joined, reason = self.merged(known, anonymous)
        if reason:
            return self, reason
        return evolve(joined, anonymous={**joined.anonymous, anonymous: known}), ""

    def merged(self, one: str, other: str) -> tuple[Identities, str]:
        """
        With *one* and *other* as ids of one user, who is known by the first of them; and why not, or nothing.
        """
        stays, goes = self.user_of(one), self.user_of(other)
        if stays == goes:
            return self, ""
        joining = self.clusters.get(goes, (goes,))
        cluster = self.clusters.get(stays, (stays,)) + joining
        if len(cluster) > MAX_CLUSTER:
            return self, "errManyIDs"
        clusters = dict(self.clusters)
        clusters.pop(goes, None)
        clusters[stays] = cluster
        return evolve(self, users={**self.users, **dict.fromkeys(joining, stays)}, clusters=clusters), ""

    def with_device(self, device: str, user: str) -> Identities:
        """
        With *device* as one of *user*, unless it is another's already.
        """
        if device in self.devices:
            return self
        return evolve(self, devices={**self.devices, device: user})

    def newest(self, most: int) -> Identities:
        """
        Without the oldest links, if there are more than *most* of a kind.
        """
        if max(len(self.users), len(self.aliases), len(self.anonymous), len(self.devices)) <= most:
            return self
        users = dict(list(self.users.items())[-most:])
        clusters: dict[str, tuple[str, ...]] = {}
        for user, ids in self.clusters.items():
            left = tuple(each for each in ids if each == user or each in users)
            if len(left) > 1:
                clusters[user] = left
        return Identities(
            users=users,
            clusters=clusters,
            aliases=dict(list(self.aliases.items())[-most:]),
            anonymous=dict(list(self.anonymous.items())[-most:]),
            devices=dict(list(self.devices.items())[-most:]),
        )

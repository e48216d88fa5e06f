"""The metrics of an application, for Prometheus. Only this module knows prometheus_client, and only a scrape
imports it.

1. A scrape reads counters that are there anyway. It opens no instance, writes nothing, and reads no events:
   its cost depends on the number of open instances alone. What cannot be read is left out; the rest is told.
2. The only label with a value from outside is ``instance``, whose names the archive allows. With more than
   ``INSTANCES_MAX`` instances there is one sample for all of them, without that label.
3. Sums never become smaller: what an instance counted before it was renamed or deleted stays in them.
4. If looking takes a while, as with thousands of instances, its result is told again for twenty times as
   long. So scrapes take a twentieth of a processor's time at most, however many monitors there are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from operator import add
from time import monotonic

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from yamcs_archive.activity import Distribution, InstanceActivity, InstanceUsage, MirrorLag
from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.limits import METRICS_INSTANCES_MAX
from yamcs_archive.http.media_types import qualities
from yamcs_archive.http.observation import LiveState, Observation
from yamcs_archive.instance import Instance

PREFIX = "yamcs_archive_"
_OPENMETRICS = "application/openmetrics-text"
_REST_SHARE = 20
"""For how long a look is told again, as a multiple of the time that it took."""
_SHORT_S = 0.05
"""Seconds up to which a look is not told again: it is cheap, and the next scrape is up to date."""

_COUNTERS: tuple[tuple[str, str, Callable[[InstanceActivity], int]], ...] = (
    ("events_written_total", "Events that were stored.", lambda done: done.stored),
    ("duplicates_total", "Events that were stored already.", lambda done: done.duplicates),
    ("conflicts_total", "Events that were refused: another one has their key.", lambda done: done.conflicts),
    ("expired_total", "Events that were refused: older than the prune horizon.", lambda done: done.expired),
    ("late_total", "Stored events that were generated over a minute before.", lambda done: done.late),
    ("commits_failed_total", "Groups of appends that were not committed.", lambda done: done.commits_failed),
    (
        "stale_readers_cleared_total",
        "Readers of ended processes that were removed from LMDB's table.",
        lambda done: done.stale_readers_cleared,
    ),
)
_HISTOGRAMS: tuple[tuple[str, str, Callable[[InstanceActivity], Distribution]], ...] = (
    (
        "commit_seconds",
        "Time of a commit that stored events, with its fsync.",
        lambda done: done.commit_seconds,
    ),
    ("batch_size", "Events that one commit stored.", lambda done: done.commit_events),
)
_GAUGES: tuple[tuple[str, str, Callable[[InstanceUsage], float], Callable[[Iterable[float]], float]], ...] = (
    ("young_events", "Events that are not in blocks yet.", lambda used: used.young_events, sum),
    ("blocks", "Blocks of events.", lambda used: used.blocks, sum),
    ("map_bytes", "Address space reserved for files; it grows when full.", lambda used: used.map_bytes, sum),
    ("map_used_bytes", "Part of the map that is in use.", lambda used: used.map_used_bytes, sum),
    ("file_bytes", "Bytes that files take on the disk.", lambda used: used.file_bytes, sum),
    ("readers", "Places in use in LMDB's table of readers.", lambda used: used.readers, sum),
    (
        "oldest_reader_seconds",
        "For how long the oldest reader has kept pages from being reused.",
        lambda used: used.oldest_reader_seconds,
        max,
    ),
    (
        "checkpoint_backlog_seconds",
        "For how long a full memory table has waited to be put into blocks.",
        lambda used: used.checkpoint_backlog_seconds,
        max,
    ),
)
"""Name, description, value, and how those of many instances become one."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look found. The key is the instance's name; without names there is one entry, of all."""

    named: bool
    activity: Mapping[str, InstanceActivity]
    usage: Mapping[str, InstanceUsage]
    instances: int
    unreadable: int
    ready: bool
    disk: os.statvfs_result | None
    live: LiveState
    mirrors: Sequence[MirrorLag]
    took_s: float
    at_s: float


class ArchiveCollector(Collector):
    """The metrics of one application. Safe to use from many threads; one of them looks at a time."""

    def __init__(
        self, archive: Archive, observation: Observation, ready: Callable[[], bool], version: str
    ) -> None:
        self._archive, self._observation, self._ready, self._version = archive, observation, ready, version
        self._guard = threading.Lock()
        self._known: dict[Instance, InstanceActivity] = {}
        """What each open instance had counted at the last look."""
        self._gone = InstanceActivity()
        """What instances had counted that are open no longer."""
        self._last: _Look | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield all families of metrics."""
        look = self._look()
        labels = ("instance",) if look.named else ()
        yield InfoMetricFamily(f"{PREFIX}build", "The version of the server.", {"version": self._version})
        yield GaugeMetricFamily(f"{PREFIX}ready", "1 if events can be stored, as /readyz says.", look.ready)
        yield GaugeMetricFamily(f"{PREFIX}instances", "Open instances.", look.instances)
        yield GaugeMetricFamily(
            f"{PREFIX}instances_unreadable", "Open instances whose state cannot be read.", look.unreadable
        )
        yield from _disk(look.disk)
        for name, text, counted in _COUNTERS:
            counter = CounterMetricFamily(PREFIX + name, text, labels=labels)
            for instance, done in look.activity.items():
                counter.add_metric(_values(labels, instance), counted(done))
            yield counter
        for name, text, distribution in _HISTOGRAMS:
            histogram = HistogramMetricFamily(PREFIX + name, text, labels=labels)
            for instance, done in look.activity.items():
                found = distribution(done)
                histogram.add_metric(_values(labels, instance), _cumulated(found), found.total)
            yield histogram
        for name, text, used, _ in _GAUGES:
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=labels)
            for instance, usage in look.usage.items():
                gauge.add_metric(_values(labels, instance), used(usage))
            yield gauge
        yield from _live(look, labels)
        yield from _mirrors(look.mirrors, labels)
        yield self._requests()

    def _requests(self) -> Metric:
        counter = CounterMetricFamily(
            f"{PREFIX}http_requests_total", "Answers by route and status.", labels=("route", "code")
        )
        for (route, status), count in sorted(self._observation.requests.by_route().items()):
            counter.add_metric((route, str(status)), count)
        return counter

    def _look(self) -> _Look:
        with self._guard:
            last = self._last
            if (
                last is not None
                and last.took_s > _SHORT_S
                and monotonic() < last.at_s + _REST_SHARE * last.took_s
            ):
                return last
            self._last = found = self._look_anew()
            return found

    def _look_anew(self) -> _Look:
        begun_s = monotonic()
        instances = self._archive.open_instances()
        activity = {instance: instance.activity() for instance in instances}
        for instance, done in self._known.items():
            if instance not in activity:
                self._gone += done
        self._known = activity
        usage: dict[str, InstanceUsage] = {}
        for instance in instances:
            try:
                usage[instance.name] = instance.usage()
            except ArchiveError:  # closed meanwhile, damaged, or gone
                continue
        live, mirrors = self._observation.live(), self._observation.mirrors()
        named = {instance.name: done for instance, done in activity.items()}
        unreadable = len(instances) - len(usage)
        is_named = len(instances) <= METRICS_INSTANCES_MAX
        if not is_named:
            named = {"": reduce(add, activity.values(), self._gone)}
            usage = {"": _together(usage.values())} if usage else {}
            live = LiveState(
                live.websockets,
                live.queued_bytes,
                {"": sum(live.subscribers.values())},
                {"": sum(live.cut_off.values())},
            )
            mirrors = _worst(mirrors)
        return _Look(
            is_named,
            named,
            usage,
            len(instances),
            unreadable,
            self._ready(),
            self._disk(),
            live,
            mirrors,
            monotonic() - begun_s,
            begun_s,
        )

    def _disk(self) -> os.statvfs_result | None:
        try:
            return os.statvfs(self._archive.path)
        except OSError:  # it is gone, which ``ready`` tells
            return None


class Exposition:
    """Writes the metrics of one application, and of its process."""

    def __init__(self, collector: ArchiveCollector) -> None:
        # Not the registry of the whole process: a program that embeds the archive has metrics of its own.
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def write(self, accept: str) -> tuple[str, bytes]:
        """Return the media type and the text in the form that an Accept header prefers: OpenMetrics if it is
        named, with a quality of at least that of Prometheus' own, which is the answer otherwise."""
        given = qualities(accept)
        quality = given.get(_OPENMETRICS, 0.0)
        is_open = quality > 0 and quality >= given.get("text/plain", 0.0)
        # Never the header as it came: the package would answer with the version that a client makes up.
        encode, media = choose_encoder(f"{_OPENMETRICS}; version=1.0.0" if is_open else "")
        return media, encode(self._registry)


def _values(labels: Sequence[str], instance: str) -> Sequence[str]:
    return (instance,) if labels else ()


def _cumulated(found: Distribution) -> list[tuple[str, float]]:
    bounds = (*(str(float(bound)) for bound in found.bounds), "+Inf")
    return list(zip(bounds, accumulate(found.counts), strict=True))


def _together(all_usage: Iterable[InstanceUsage]) -> InstanceUsage:
    """Return the usage of all instances as one."""
    found = list(all_usage)
    return InstanceUsage(*(together(map(used, found)) for _, _, used, together in _GAUGES))  # type: ignore[arg-type]  # in their order


def _worst(mirrors: Sequence[MirrorLag]) -> Sequence[MirrorLag]:
    if not mirrors:
        return ()
    seconds = max(mirror.seconds for mirror in mirrors)
    return (MirrorLag("", seconds, all(mirror.following for mirror in mirrors)),)


def _disk(found: os.statvfs_result | None) -> Iterator[Metric]:
    """Yield the file system's size, and what this user may still use of it."""
    size = GaugeMetricFamily(f"{PREFIX}disk_bytes", "Size of the file system of the archive.")
    free = GaugeMetricFamily(f"{PREFIX}disk_free_bytes", "Bytes that may still be used of it.")
    if found is not None:
        size.add_metric((), found.f_blocks * found.f_frsize)
        blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
        free.add_metric((), blocks * found.f_frsize)
    yield size
    yield free


def _live(look: _Look, labels: Sequence[str]) -> Iterator[Metric]:
    yield GaugeMetricFamily(f"{PREFIX}live_websockets", "Open WebSockets.", look.live.websockets)
    yield GaugeMetricFamily(
        f"{PREFIX}live_queued_bytes", "Bytes of live updates that wait for clients.", look.live.queued_bytes
    )
    subscribers = GaugeMetricFamily(
        f"{PREFIX}live_subscribers", "Subscriptions to live updates.", labels=labels
    )
    cut_off = CounterMetricFamily(
        f"{PREFIX}live_cut_off_total",
        "Subscriptions that ended because their client was too slow: it missed what came then.",
        labels=labels,
    )
    for instance in look.activity:
        subscribers.add_metric(_values(labels, instance), look.live.subscribers.get(instance, 0))
        cut_off.add_metric(_values(labels, instance), look.live.cut_off.get(instance, 0))
    yield subscribers
    yield cut_off


def _mirrors(mirrors: Sequence[MirrorLag], labels: Sequence[str]) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        f"{PREFIX}mirror_lag_seconds", "Time since a copy last had all that its source has.", labels=labels
    )
    following = GaugeMetricFamily(
        f"{PREFIX}mirror_following", "0 once a copy has stopped to follow its source.", labels=labels
    )
    for mirror in mirrors:
        lag.add_metric(_values(labels, mirror.instance), mirror.seconds)
        following.add_metric(_values(labels, mirror.instance), mirror.following)
    yield lag
    yield following

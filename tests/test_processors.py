"""Cores that may be used: a container's quota counts."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hime import processors


def threads_under(root: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> int:
    """What `usable_threads` says on a machine of 16 cores whose file system holds these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    quotas = processors._quotas
    monkeypatch.setattr(processors, "_quotas", lambda _: quotas(root))
    return processors.usable_threads()


V1 = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "350000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "400000 100000\n"}, 4),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "500000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            },
            3,
        ),
        ({"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/cpu.max": "600000 100000\n"}, 6),
        (
            {
                "proc/self/cgroup": "7:memory:/x\n4:cpu,cpuacct:/docker/12\n0::/\n",
                f"{V1}/cpu.cfs_quota_us": "250000\n",
                f"{V1}/cpu.cfs_period_us": "50000\n",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense 0 -1\n"}, 16),
        ({"proc/self/cgroup": "no\ncgroup\x00::\n"}, 16),
    ],
)
def test_a_quota_counts_in_whole_cores(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert threads_under(tmp_path, monkeypatch, files) == expected


def test_on_this_machine() -> None:
    assert 1 <= processors.usable_threads() <= (os.cpu_count() or 1)


def test_in_parallel_keeps_the_order_and_shares_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_limit", 3)
    barrier = threading.Barrier(3, timeout=10)  # broken, unless three work at the same time

    def work(item: int) -> tuple[int, int]:
        barrier.wait()
        return item, threading.get_ident()

    results = list(processors.in_parallel(work, range(6)))
    assert [item for item, _ in results] == list(range(6))
    assert threading.get_ident() not in {thread for _, thread in results}


@pytest.mark.parametrize(("limit", "most", "items"), [(1, None, 5), (4, 1, 5), (4, None, 1), (4, None, 0)])
def test_alone_there_are_no_threads(
    monkeypatch: pytest.MonkeyPatch, limit: int, most: int | None, items: int
) -> None:
    monkeypatch.setattr(processors, "_limit", limit)
    results = list(processors.in_parallel(lambda _: threading.get_ident(), range(items), most))
    assert results == [threading.get_ident()] * items


def test_what_a_thread_hands_on_it_does_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_limit", 2)

    def outer(_: int) -> bool:
        inner = processors.in_parallel(lambda _: threading.get_ident(), range(4))
        return set(inner) == {threading.get_ident()}

    assert list(processors.in_parallel(outer, range(4))) == [True] * 4


def test_what_an_item_raises_is_raised_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_limit", 2)
    results = processors.in_parallel(lambda item: 6 // item, [3, 2, 0, 1])
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_the_limit_is_opencvs_too() -> None:
    import cv2

    before = cv2.getNumThreads()
    try:
        processors.limit_threads(1)
        assert cv2.getNumThreads() == 1
        assert set(processors.in_parallel(lambda _: threading.get_ident(), range(3))) == {
            threading.get_ident()
        }
    finally:
        processors.limit_threads()
        cv2.setNumThreads(before)

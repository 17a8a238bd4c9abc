import asyncio
import errno
import json
import stat
import threading
from pathlib import Path
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.audit.record import Found, Record
from gateway.audit.trail import AppendFile, Trail


def record(number: int | str, **fields) -> Record:
    return Record(writer="inspect", request_id=str(number), started_at=1.0, duration_s=0.5, **fields)


class Disk:
    """A file in memory that refuses, tears and loses on command; `open` is what a Trail calls."""

    def __init__(self) -> None:
        self.data = b""
        self.durable = b""
        self.opened = 0
        self.closed = 0
        self.syncs = 0
        self.free_bytes: int | None = None
        self.refuse_sync = False
        self.refuse_open = False
        self.hold: threading.Event | None = None
        self.refused = threading.Event()
        self.held = threading.Event()

    def open(self, _path) -> "Disk":
        if self.refuse_open:
            self.refused.set()
            raise OSError(errno.EIO, "no")
        self.opened += 1
        return self

    def write(self, data) -> int:
        if self.hold is not None:
            self.held.set()
            self.hold.wait(10)
        if self.free_bytes is None:
            self.data += bytes(data)
            return len(data)
        part = bytes(data)[: self.free_bytes]
        if not part:
            self.refused.set()
            raise OSError(errno.ENOSPC, "full")
        self.free_bytes -= len(part)
        self.data += part
        return len(part)

    def sync(self) -> None:
        if self.refuse_sync:
            self.data = self.durable  # what Linux may do: the error is told once, the pages are gone
            self.refused.set()
            raise OSError(errno.EIO, "lost")
        self.durable = self.data
        self.syncs += 1

    def close(self) -> None:
        self.closed += 1


def ids(data: bytes) -> list[str]:
    assert data == b"" or data.endswith(b"\n")
    return [orjson.loads(line)["request_id"] for line in data.splitlines()]


def on_disk(path) -> list[str]:
    return ids(path.read_bytes())


def trail_on(disk: Disk, tmp_path, queue_records: int = 64) -> Trail:
    return Trail(
        tmp_path / "worker-0.jsonl",
        queue_records=queue_records,
        fsync_ms=1,
        open_file=disk.open,
        retry_s=0.001,
    )


async def seen(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit" / "worker-0.jsonl"


async def test_offered_records_are_lines_of_a_private_file_in_order(path):
    trail = Trail(path, queue_records=1000, fsync_ms=1)
    trail.start()
    assert all(trail.offer(record(number)) for number in range(500))
    assert await trail.close() == 0
    assert on_disk(path) == [str(number) for number in range(500)]
    assert (trail.written, trail.failed, trail.refused, trail.pending) == (500, 0, 0, 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_an_existing_file_is_appended_to_and_made_private(path):
    path.parent.mkdir()
    path.write_bytes(record("old").line())
    path.chmod(0o644)
    trail = Trail(path, queue_records=16, fsync_ms=1)
    trail.start()
    trail.offer(record("new"))
    await trail.close()
    assert on_disk(path) == ["old", "new"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_half_a_line_of_a_crashed_writer_does_not_spoil_the_next(path):
    path.parent.mkdir()
    path.write_bytes(record("whole").line() + record("torn").line()[:20])
    trail = Trail(path, queue_records=16, fsync_ms=1)
    trail.start()
    trail.offer(record("next"))
    await trail.close()
    lines = path.read_bytes().splitlines()
    assert [orjson.loads(lines[0])["request_id"], orjson.loads(lines[2])["request_id"]] == ["whole", "next"]
    assert lines[1] == record("torn").line()[:20]


def test_one_file_has_one_writer(tmp_path):
    first = AppendFile(tmp_path / "f")
    with pytest.raises(BlockingIOError):
        AppendFile(tmp_path / "f")
    first.close()
    AppendFile(tmp_path / "f").close()


def test_a_symlink_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(OSError, match="symbolic link"):
        AppendFile(tmp_path / "link")


def test_a_refused_file_leaves_no_descriptor_behind(tmp_path):
    first = AppendFile(tmp_path / "f")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(BlockingIOError):
            AppendFile(tmp_path / "f")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    first.close()


async def test_a_directory_that_cannot_be_made_stops_the_start(tmp_path):
    (tmp_path / "taken").write_text("")
    trail = Trail(tmp_path / "taken" / "worker-0.jsonl", queue_records=16, fsync_ms=1)
    with pytest.raises(OSError, match=r"taken"):
        trail.start()
    assert not trail.healthy


async def test_a_trail_is_healthy_between_start_and_close_only(tmp_path):
    trail = trail_on(Disk(), tmp_path)
    assert not trail.healthy
    trail.start()
    assert trail.healthy
    await trail.close()
    assert not trail.healthy
    assert not trail.offer(record("late"))
    assert trail.refused == 1
    with pytest.raises(RuntimeError):
        trail.start()


async def test_a_full_queue_refuses_without_waiting_and_keeps_what_it_took(tmp_path):
    disk = Disk()
    disk.hold = threading.Event()
    trail = trail_on(disk, tmp_path, queue_records=16)
    trail.start()
    taken = [trail.offer(record(number)) for number in range(20)]
    assert taken == [True] * 16 + [False] * 4
    assert (trail.refused, trail.pending) == (4, 16)
    disk.hold.set()
    await trail.close()
    assert ids(disk.durable) == [str(number) for number in range(16)]


async def test_new_exchanges_are_refused_while_the_queue_has_room_for_those_under_way(tmp_path):
    disk = Disk()
    disk.hold = threading.Event()
    trail = trail_on(disk, tmp_path, queue_records=16)
    trail.start()
    health = []
    for number in range(16):
        health.append(trail.healthy)
        assert trail.offer(record(number))
    assert health == [True] * 12 + [False] * 4
    disk.hold.set()
    await trail.close()


async def test_a_flood_of_refusals_at_the_door_leaves_room_for_exchanges_under_way(tmp_path):
    disk = Disk()
    disk.hold = threading.Event()
    trail = trail_on(disk, tmp_path, queue_records=16)
    trail.start()
    refusal = Record(writer="authz", request_id="refused", started_at=1.0, duration_s=0.0)
    assert [trail.offer(refusal) for _ in range(20)] == [True] * 12 + [False] * 8
    assert [trail.offer(record(number)) for number in range(5)] == [True] * 4 + [False]
    disk.hold.set()
    await trail.close()
    assert ids(disk.durable) == ["refused"] * 12 + ["0", "1", "2", "3"]


async def test_records_that_are_being_written_still_count_against_the_bound(tmp_path):
    disk = Disk()
    disk.hold = threading.Event()
    trail = trail_on(disk, tmp_path, queue_records=16)
    trail.start()
    for number in range(16):
        trail.offer(record(number))
    await seen(disk.held)  # the thread has taken a group off the queue
    assert not trail.offer(record("more"))
    disk.hold.set()
    await trail.close()
    assert len(ids(disk.durable)) == 16


async def test_a_full_disk_makes_the_trail_unhealthy_and_loses_nothing(tmp_path):
    disk = Disk()
    disk.free_bytes = len(record(0).line()) * 2 + 10  # tears the third line
    trail = trail_on(disk, tmp_path)
    with capture_logs() as logs:
        trail.start()
        for number in range(5):
            assert trail.offer(record(number))
        await seen(disk.refused)
        assert not trail.healthy
        assert trail.failed >= 1
        assert trail.offer(record(5))  # still taken: an exchange under way must be recorded
        disk.free_bytes = None
        assert await trail.close() == 0
    assert ids(disk.durable) == ["0", "1", "2", "3", "4", "5"]
    assert [line["event"] for line in logs] == ["audit_disk_refuses", "audit_disk_recovered"]
    assert logs[0]["errno"] == "ENOSPC"


async def test_health_returns_when_the_disk_does(tmp_path):
    disk = Disk()
    disk.free_bytes = 0
    trail = trail_on(disk, tmp_path)
    with capture_logs():
        trail.start()
        trail.offer(record(0))
        await seen(disk.refused)
        disk.free_bytes = None
        async with asyncio.timeout(10):
            while not trail.healthy:
                await asyncio.sleep(0)
    assert (trail.written, trail.pending) == (1, 0)
    await trail.close()


async def test_a_failed_fsync_repeats_the_whole_group_on_a_fresh_descriptor(tmp_path):
    disk = Disk()
    disk.refuse_sync = True
    trail = trail_on(disk, tmp_path)
    with capture_logs():
        trail.start()
        for number in range(3):
            trail.offer(record(number))
        await seen(disk.refused)
        assert not trail.healthy
        assert trail.written == 0
        disk.refuse_sync = False
        assert await trail.close() == 0
    assert ids(disk.durable) == ["0", "1", "2"]
    assert disk.opened >= 2
    assert disk.closed == disk.opened


async def test_a_file_that_cannot_be_opened_again_is_tried_until_it_can(tmp_path):
    disk = Disk()
    disk.refuse_sync = True
    trail = trail_on(disk, tmp_path)
    with capture_logs():
        trail.start()
        trail.offer(record(0))
        await seen(disk.refused)
        disk.refuse_open = True
        disk.refuse_sync = False
        disk.refused.clear()
        await seen(disk.refused)
        disk.refuse_open = False
        assert await trail.close() == 0
    assert ids(disk.durable) == ["0"]


async def test_closing_on_a_dead_disk_ends_in_time_and_counts_the_loss(tmp_path):
    disk = Disk()
    disk.free_bytes = 0
    trail = trail_on(disk, tmp_path)
    with capture_logs() as logs:
        trail.start()
        for number in range(3):
            trail.offer(record(number))
        await seen(disk.refused)
        assert await trail.close(within_s=0.01) == 3
    assert [(line["event"], line.get("records")) for line in logs][-1] == ("audit_records_lost", 3)
    assert disk.closed == 1


async def test_a_file_that_makes_no_progress_is_a_failure_not_a_spin(tmp_path):
    class Stuck(Disk):
        def write(self, _data) -> int:
            self.refused.set()
            return 0

    disk = Stuck()
    trail = trail_on(disk, tmp_path)
    with capture_logs():
        trail.start()
        trail.offer(record(0))
        await seen(disk.refused)
        assert await trail.close(within_s=0.01) == 1
    assert trail.failed >= 1


async def test_a_crash_of_the_writer_makes_the_trail_unhealthy_and_is_logged(tmp_path):
    class Broken(Disk):
        def write(self, _data) -> int:
            raise KeyError("bug")

    trail = trail_on(Broken(), tmp_path)
    with capture_logs() as logs:
        running = asyncio.create_task(trail.run())
        await asyncio.sleep(0)
        trail.offer(record(0))
        async with asyncio.timeout(10):
            await running
        assert not trail.healthy
        assert await trail.close() == 1
    assert [line["event"] for line in logs] == ["audit_trail_stopped", "audit_records_lost"]


async def test_run_starts_the_trail_and_returns_after_close(tmp_path):
    disk = Disk()
    trail = trail_on(disk, tmp_path)
    running = asyncio.create_task(trail.run())
    await asyncio.sleep(0)
    assert trail.healthy
    trail.offer(record(0))
    await trail.close()
    async with asyncio.timeout(10):
        await running
    await trail.run()  # an ended trail does not keep anybody waiting
    assert ids(disk.durable) == ["0"]


async def test_many_tasks_offer_while_the_thread_writes_and_each_keeps_its_order(path):
    trail = Trail(path, queue_records=10_000, fsync_ms=1)
    trail.start()

    async def offers(task: int) -> None:
        for number in range(200):
            assert trail.offer(record(f"{task}:{number}"))
            if number % 7 == task:
                await asyncio.sleep(0)

    await asyncio.gather(*(offers(task) for task in range(7)))
    assert await trail.close() == 0
    written = on_disk(path)
    assert len(written) == 1400
    for task in range(7):
        assert [line for line in written if line.startswith(f"{task}:")] == [
            f"{task}:{number}" for number in range(200)
        ]


async def test_waiting_records_share_one_write_and_one_fsync(tmp_path):
    disk = Disk()
    trail = Trail(
        tmp_path / "f",
        queue_records=1000,
        fsync_ms=10_000,  # only a half-full queue or close ends the gathering
        open_file=disk.open,
    )
    trail.start()
    for number in range(400):
        trail.offer(record(number))
    await trail.close()
    assert len(ids(disk.durable)) == 400
    assert disk.syncs <= 2


async def test_a_half_full_queue_does_not_wait_for_company(tmp_path):
    disk = Disk()
    trail = Trail(tmp_path / "f", queue_records=16, fsync_ms=3_600_000, open_file=disk.open)
    trail.start()
    for number in range(9):
        trail.offer(record(number))
    async with asyncio.timeout(10):
        while trail.written < 9:
            # The thread may have slept through the first signal; every further offer gives it again.
            await asyncio.sleep(0)
            if trail.pending < 12:
                trail.offer(record("more"))
    await trail.close()


@pytest.mark.parametrize(
    "odd",
    [
        {"reason": "half a pair \ud800"},
        {"details": MappingProxyType({"a": "b"})},
        {"details": {"a": object()}},
        {"answer_bytes": 2**70},
        {
            "model": "\udfff",
            "found": (Found(rule="r", direction="request", count=1, action="flag", would="flag"),),
        },
    ],
)
async def test_a_record_that_is_no_clean_json_is_still_put_on_record(path, odd):
    trail = Trail(path, queue_records=16, fsync_ms=1)
    trail.start()
    trail.offer(record("odd", **odd))
    trail.offer(record("next"))
    assert await trail.close() == 0
    lines = [json.loads(line) for line in path.read_bytes().decode().splitlines()]
    assert [line["request_id"] for line in lines] == ["odd", "next"]
    assert set(lines[0]) == set(lines[1])


@given(st.binary(max_size=200))
def test_after_opening_whatever_was_there_is_kept_and_ends_with_a_line_break(tmp_path_factory, before):
    path = tmp_path_factory.mktemp("trail") / "f"
    path.write_bytes(before)
    AppendFile(path).close()
    after = path.read_bytes()
    assert after.startswith(before)
    assert after in {before, before + b"\n"}
    assert not after or after.endswith(b"\n")

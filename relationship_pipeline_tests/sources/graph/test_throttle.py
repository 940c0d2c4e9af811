"""Width, lanes and the penalty box, on a clock of their own."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from dataclasses import replace

import pytest

from relationship_pipeline.settings import GraphSettings
from relationship_pipeline.sources.graph.client import PATIENT, GraphClient
from relationship_pipeline.sources.graph.faults import GraphFault, Kind
from relationship_pipeline.sources.graph.throttle import DIRECTORY, INTERVAL, LONGEST_HOLD, HeldTooLong, Throttle
from relationship_pipeline.sources.graph.transport import Reply
from relationship_pipeline_tests.sources.graph.virtual_time import run


class Recorder:
    """Requests of a given length through a throttle; remembers when each began and how many ran at once."""

    def __init__(self, throttle: Throttle) -> None:
        self.throttle = throttle
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_at_once = 0
        self.begun: list[tuple[str, float]] = []

    async def request(self, mailbox: str, seconds: float = 1.0) -> None:
        async with self.throttle.slot(mailbox):
            self.begun.append((mailbox, asyncio.get_running_loop().time()))
            self.running[mailbox] += 1
            self.most[mailbox] = max(self.most[mailbox], self.running[mailbox])
            self.most_at_once = max(self.most_at_once, self.running.total())
            await asyncio.sleep(seconds)
            self.running[mailbox] -= 1


def test_a_mailbox_gets_its_lanes_and_the_crawl_its_width() -> None:
    async def main() -> None:
        throttle = Throttle(8, start=8)
        throttle.widen("giant", 4)
        recorder = Recorder(throttle)
        names = ["giant"] * 20 + [f"mailbox {n}" for n in range(10) for _ in range(5)]
        await asyncio.gather(*(recorder.request(name) for name in names))
        assert recorder.most["giant"] == 4
        assert max(recorder.most[name] for name in names if name != "giant") == 2
        assert recorder.most_at_once == 8
        assert throttle.in_flight == 0

    run(main())


def test_nothing_is_sent_for_a_mailbox_in_the_penalty_box_and_others_go_on() -> None:
    async def main() -> None:
        throttle = Throttle(8)
        recorder = Recorder(throttle)
        throttle.pause("slow", 30.0)
        throttle.pause("slower", 90.0)
        waiting = [recorder.request(name) for name in ("slower", "slow", "slow", "free", "free")]
        await asyncio.gather(*waiting)
        assert recorder.begun == [("free", 0.0), ("free", 0.0), ("slow", 30.0), ("slow", 31.0), ("slower", 90.0)]
        assert recorder.most["slow"] == 1, "a throttled mailbox is narrowed to one lane"

    run(main())


def test_a_narrowed_lane_heals_after_clean_answers() -> None:
    async def main() -> None:
        throttle = Throttle(8)
        throttle.pause("mailbox", 0.0)
        for _ in range(10):
            throttle.clean("mailbox")
        recorder = Recorder(throttle)
        await asyncio.gather(*(recorder.request("mailbox") for _ in range(4)))
        assert recorder.most["mailbox"] == 2

    run(main())


def test_the_width_grows_while_all_is_well_and_halves_on_wide_trouble() -> None:
    async def main() -> None:
        throttle = Throttle(128)
        for _ in range(4):
            throttle.clean("mailbox")
            await asyncio.sleep(INTERVAL)
        assert throttle.width == 128, "before the first trouble it doubles"
        for mailbox in range(32):
            throttle.trouble(f"mailbox {mailbox}")
        assert throttle.width == 64
        for _ in range(3):
            await asyncio.sleep(INTERVAL)
            throttle.clean("mailbox")
        assert throttle.width == 67, "after it, it grows by one an interval"
        for _ in range(9):
            throttle.trouble(DIRECTORY)
        assert throttle.width == 4, "the floor"

    run(main())


def test_one_throttled_mailbox_does_not_narrow_the_crawl() -> None:
    async def main() -> None:
        throttle = Throttle(128)
        for _ in range(100):
            throttle.trouble("mailbox")
        assert throttle.width == 32

    run(main())


def test_a_cancelled_waiter_gives_its_place_back() -> None:
    async def main() -> None:
        throttle = Throttle(1, start=1)
        recorder = Recorder(throttle)
        first = asyncio.create_task(recorder.request("a", 5))
        second = asyncio.create_task(recorder.request("b", 5))
        third = asyncio.create_task(recorder.request("c", 5))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert [name for name, _ in recorder.begun] == ["a", "c"] and throttle.in_flight == 0

    run(main())


def test_a_mailbox_that_is_done_is_forgotten_and_one_in_the_penalty_box_is_not() -> None:
    async def main() -> None:
        throttle = Throttle(8)
        recorder = Recorder(throttle)
        throttle.pause("slow", 30.0)
        for name in ("done", "slow"):
            throttle.forget(name)
        await asyncio.gather(recorder.request("done"), recorder.request("slow"))
        assert recorder.begun == [("done", 0.0), ("slow", 30.0)]
        throttle.forget("slow")
        assert not throttle._lanes.get("slow")

    run(main())


class Tokens:
    async def token(self) -> str:
        return "e30.e30.c2ln"


class Busy:
    """A service that answers every request the same; notes when it was asked."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[float] = []

    async def send(self, url: str, headers: dict[str, str], post: bytes | None) -> Reply:
        self.asked.append(asyncio.get_running_loop().time())
        return self.reply


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("wait", "times"), [(600.0, 4), (1_000.0, 2), (3_600.0, 1), (86_400.0, 1)])
def test_3_2_a_mailbox_that_asks_for_hours_is_given_up_after_half_an_hour_and_left_alone_as_long_as_it_says(
    wait: float, times: int, status: int
) -> None:
    async def main() -> None:
        settings = GraphSettings(tenant_id="t", client_id="c")
        client = GraphClient(settings, Tokens(), Throttle(8), replace(PATIENT, first_wait=0.0))  # type: ignore[arg-type]
        service = client._transport = Busy(Reply(status, b"{}", "ApplicationThrottled", wait))  # type: ignore[assignment]
        url = f"{client.base}/users/slow/messages"
        with pytest.raises(GraphFault) as given_up:
            await client.fetch(url, "slow", bytes)
        assert given_up.value.kind is Kind.THROTTLED, "which parks the mailbox"
        assert service.asked == [number * wait for number in range(times)]
        now = asyncio.get_running_loop().time()
        assert now == (times - 1) * wait <= LONGEST_HOLD
        if wait > LONGEST_HOLD:
            with pytest.raises(GraphFault):
                await client.fetch(url, "slow", bytes)
            assert len(service.asked) == times and asyncio.get_running_loop().time() == now, "and nothing was sent"

    run(main())


def test_3_2_nobody_goes_on_waiting_for_a_mailbox_that_turns_out_to_ask_for_a_day() -> None:
    async def main() -> None:
        throttle = Throttle(8)
        recorder = Recorder(throttle)
        throttle.pause("slow", 60.0)
        waiting = [asyncio.create_task(recorder.request("slow")) for _ in range(3)]
        await asyncio.sleep(30)
        throttle.pause("slow", 86_400.0)
        throttle.clean("slow")  # of a request that was on its way
        waiting.append(asyncio.create_task(recorder.request("slow")))
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(end) for end in ends] == [HeldTooLong] * 4 and asyncio.get_running_loop().time() == 30.0
        await asyncio.sleep(86_400)
        await recorder.request("slow")
        assert recorder.begun == [("slow", 86_430.0)] and throttle.in_flight == 0, (
            "it is asked again when its time is up"
        )

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_random_pauses_are_always_kept_and_everybody_is_served(seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        throttle = Throttle(16, longest_hold=math.inf)
        served = 0
        not_before: dict[str, float] = {}

        async def request(mailbox: str) -> None:
            nonlocal served
            async with throttle.slot(mailbox):
                now = asyncio.get_running_loop().time()
                assert now >= not_before.get(mailbox, 0.0)
                await asyncio.sleep(rng.random())
                if rng.random() < 0.3:
                    wait = rng.uniform(0, 600)
                    throttle.pause(mailbox, wait)
                    throttle.trouble(mailbox)
                    now = asyncio.get_running_loop().time()
                    not_before[mailbox] = max(not_before.get(mailbox, 0.0), now + wait)
                else:
                    throttle.clean(mailbox)
                served += 1

        await asyncio.gather(*(request(f"mailbox {rng.randrange(60)}") for _ in range(2_000)))
        assert served == 2_000 and throttle.in_flight == 0

    run(main())

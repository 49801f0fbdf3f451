"""D1-D4: a breaker per key, isolated from the others, and never more keys than allowed."""

import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon import (
    BreakerPolicy,
    BreakerRegistry,
    CircuitBreaker,
    CircuitOpenError,
    RegistryFullError,
    State,
)
from cbmon.breaker import registry as rooms
from cbmon.testing import ManualClock, StateRecorder


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        permit = breaker.try_acquire()
        assert permit is not None
        breaker.record(permit, failed=True, duration=0.0)


def registry_of(*keys: str, **settings: Any) -> BreakerRegistry:
    registry = BreakerRegistry(clock=ManualClock(), **settings)
    for key in keys:
        registry.get(key)
    return registry


class TestKeys:
    def test_a_key_gets_the_same_breaker_again(self) -> None:
        registry = registry_of()
        assert registry.get("alice") is registry.get("alice")
        assert registry.get("alice").name == "alice"

    def test_one_keys_outage_is_not_anothers(self) -> None:
        registry = registry_of("alice", "bob", failure_threshold=2)
        fail(registry.get("alice"), 2)
        assert registry.states() == {"alice": State.OPEN, "bob": State.CLOSED}
        assert registry.get("bob").call(len, "abc") == 3

    def test_the_rejection_carries_the_key_and_the_time_left(self) -> None:
        registry = registry_of("alice", failure_threshold=1, recovery_timeout=30)
        fail(registry.get("alice"))
        with pytest.raises(CircuitOpenError) as rejected:
            registry.get("alice").call(len, "abc")
        assert (rejected.value.name, rejected.value.retry_after) == ("alice", 30.0)

    def test_open_and_half_open_keys_are_listed(self) -> None:
        clock = ManualClock()
        registry = BreakerRegistry(failure_threshold=1, recovery_timeout=10, clock=clock)
        for key in ("a", "b", "c", "forced"):
            registry.get(key)
        registry.get("forced").force_open()
        fail(registry.get("a"))
        clock.advance(5)
        fail(registry.get("b"))
        clock.advance(5)
        assert (registry.open_keys(), registry.half_open_keys()) == (["b"], ["a"])

    def test_it_counts_knows_and_iterates_its_breakers(self) -> None:
        registry = registry_of("a", "b")
        assert len(registry) == 2
        assert "a" in registry
        assert "c" not in registry
        assert [breaker.name for breaker in registry] == ["a", "b"]

    def test_keys_may_come_while_it_is_iterated(self) -> None:
        registry = registry_of("a", "b")
        for breaker in registry:
            registry.get(breaker.name + "'")
        assert len(registry) == 4

    def test_it_shows_how_full_it_is(self) -> None:
        assert repr(registry_of("a", max_keys=5)) == "<BreakerRegistry: 1 of 5 keys>"
        assert repr(registry_of("a", "b")) == "<BreakerRegistry: 2 keys>"

    def test_keys_may_be_removed_from_an_unbounded_registry(self) -> None:
        registry = registry_of("a")
        assert registry.remove("a")
        assert not registry.remove("a")

    def test_one_or_all_are_reset(self) -> None:
        registry = registry_of("a", "b", "c")
        for breaker in registry:
            breaker.open()
        registry.reset("a", actor="me", reason="fixed")
        assert registry.open_keys() == ["b", "c"]
        assert registry.reset_all() == 3
        assert registry.open_keys() == []

    def test_resetting_an_unknown_key_is_an_error_and_makes_no_breaker(self) -> None:
        registry = registry_of()
        with pytest.raises(KeyError, match="no breaker has the key 'a'"):
            registry.reset("a")
        assert len(registry) == 0

    @pytest.mark.parametrize("key", [1, None, b"a", ("a", "b")])
    def test_a_key_is_a_string(self, key: Any) -> None:
        with pytest.raises(TypeError, match=r"key: .* is not allowed; expected a string"):
            registry_of().get(key)


class TestPolicies:
    def test_the_fields_replace_those_of_the_policy(self) -> None:
        registry = BreakerRegistry(BreakerPolicy(failure_threshold=9), recovery_timeout=7)
        policy = registry.get("a").policy
        assert (policy.failure_threshold, policy.recovery_timeout) == (9, 7)
        assert policy is registry.get("b").policy

    def test_a_key_may_have_a_policy_of_its_own(self) -> None:
        own = BreakerPolicy(failure_threshold=1)
        registry = registry_of("b")
        assert own == registry.get("a", own).policy
        assert registry.get("a") is registry.get("a", BreakerPolicy(failure_threshold=1))

    def test_another_policy_for_a_key_that_exists_is_refused(self) -> None:
        registry = registry_of("a")
        with pytest.raises(ValueError, match="policy: breaker 'a' exists with another one"):
            registry.get("a", BreakerPolicy(failure_threshold=1))

    def test_each_key_draws_its_own_jitter_the_same_in_every_run(self) -> None:
        def wait(key: str, seed: int) -> float | None:
            registry = BreakerRegistry(recovery_jitter=0.5, seed=seed, clock=ManualClock())
            registry.get(key).open()
            return registry.get(key).retry_after

        assert wait("a", 1) == wait("a", 1)
        assert len({wait("a", 1), wait("b", 1), wait("a", 2)}) == 3

    def test_its_listeners_hear_every_breaker(self) -> None:
        recorder = StateRecorder()
        registry = registry_of("a", "b", listeners=[recorder], failure_threshold=1)
        fail(registry.get("a"))
        fail(registry.get("b"))
        assert [event.name for event in recorder.transitions] == ["a", "b"]

    @pytest.mark.parametrize("bound", [0, -1, True, 1.5, float("nan")])
    def test_a_bound_below_one_is_refused(self, bound: Any) -> None:
        with pytest.raises(ValueError, match="max_keys: got"):
            BreakerRegistry(max_keys=bound)


class TestEviction:
    def test_an_idle_closed_breaker_makes_room_the_longest_unused_first(self) -> None:
        registry = registry_of("a", "b", "c", max_keys=3)
        registry.get("a")
        registry.get("d")
        assert {"a", "c", "d"} == set(registry.states())

    def test_one_without_failures_goes_before_a_longer_unused_one_with_failures(self) -> None:
        registry = registry_of("a", "b", "c", max_keys=3)
        fail(registry.get("a"))
        registry.get("b")
        registry.get("c")
        registry.get("d")
        assert {"a", "c", "d"} == set(registry.states())

    def test_one_with_failures_goes_when_there_is_no_other(self) -> None:
        registry = registry_of("a", "b", max_keys=2)
        for key in ("a", "b"):
            fail(registry.get(key))
        registry.get("c")
        assert {"b", "c"} == set(registry.states())

    def test_failures_that_have_left_the_window_no_longer_count(self) -> None:
        clock = ManualClock()
        registry = BreakerRegistry(kind="time", window_seconds=60, max_keys=2, clock=clock)
        fail(registry.get("a"))
        registry.get("b")
        registry.get("c")
        assert {"a", "c"} == set(registry.states())
        clock.advance(120)
        registry.get("d")
        assert {"c", "d"} == set(registry.states())

    @pytest.mark.parametrize("move", ["open", "force_open", "force_close", "observe", "disable"])
    def test_one_that_is_not_closed_never_goes(self, move: str) -> None:
        registry = registry_of("a", "b", max_keys=2)
        getattr(registry.get("a"), move)()
        registry.get("c")
        registry.get("d")
        assert {"a", "d"} == set(registry.states())

    def test_a_half_open_one_never_goes_and_one_that_has_closed_again_may(self) -> None:
        clock = ManualClock()
        registry = BreakerRegistry(recovery_timeout=10, max_keys=1, clock=clock)
        breaker = registry.get("a")
        breaker.open()
        clock.advance(10)
        with pytest.raises(RegistryFullError):
            registry.get("b")
        assert breaker.call(len, "abc") == 3
        registry.get("b")
        assert list(registry.states()) == ["b"]

    def test_one_with_a_call_in_flight_never_goes(self) -> None:
        registry = registry_of("a", max_keys=1)
        permit = registry.get("a").try_acquire()
        assert permit is not None
        with pytest.raises(RegistryFullError):
            registry.get("b")
        registry.get("a").record(permit, failed=False)
        registry.get("b")
        assert list(registry.states()) == ["b"]

    def test_one_with_failures_that_is_used_again_is_no_longer_the_longest_unused(self) -> None:
        registry = registry_of("a", "b", "c", max_keys=3)
        for key in ("a", "b", "c"):
            fail(registry.get(key))
        fail(registry.get("d"))
        registry.get("b")
        registry.get("e")
        assert {"b", "d", "e"} == set(registry.states())

    def test_a_key_that_was_removed_is_not_evicted_again(self) -> None:
        registry, gone = registry_of("a", "b", "c", max_keys=3), list[str]()
        for key in ("a", "b", "c"):
            fail(registry.get(key))
        registry.get("d")
        registry.on_removal(lambda breaker: gone.append(breaker.name))
        for key in ("b", "d"):
            registry.remove(key)
        for key in ("e", "f", "g"):
            registry.get(key)
        assert gone == ["b", "d", "e"]
        assert {"c", "f", "g"} == set(registry.states())

    def test_one_that_was_removed_moves_without_its_successor(self) -> None:
        """Somebody still holds the old breaker of the key; the new one is closed and may go."""
        registry = registry_of("a", max_keys=1)
        old = registry.get("a")
        registry.remove("a")
        old.open()
        registry.get("a")
        old.reset()
        old.open()
        registry.get("b")
        assert list(registry.states()) == ["b"]

    def test_one_with_failures_that_is_busy_when_it_is_its_turn_goes_later(self) -> None:
        registry = registry_of("a", "b", max_keys=2)
        for key in ("a", "b"):
            fail(registry.get(key))
        busy = registry.get("b")
        fail(registry.get("c"))
        permit = busy.try_acquire()
        assert permit is not None
        registry.get("d")
        assert {"b", "d"} == set(registry.states())
        registry.get("d").open()
        busy.record(permit, failed=True)
        registry.get("e")
        assert {"d", "e"} == set(registry.states())

    def test_a_full_registry_says_what_is_wrong_and_what_to_do(self) -> None:
        registry = registry_of("a", max_keys=1)
        registry.get("a").open()
        with pytest.raises(RegistryFullError, match=r"'b'.*1") as full:
            registry.get("b")
        assert "max_keys" in str(full.value)
        assert len(registry) == 1
        assert "b" not in registry

    def test_a_full_registry_still_serves_the_keys_it_has(self) -> None:
        registry = registry_of("a", max_keys=1)
        registry.get("a").open()
        assert State.OPEN is registry.get("a").state

    def test_who_listens_hears_of_each_breaker_that_leaves(self) -> None:
        registry, gone = registry_of("a", "b", max_keys=2), list[str]()
        registry.on_removal(lambda breaker: gone.append(breaker.name))
        registry.get("c")
        assert registry.remove("b")
        assert not registry.remove("b")
        assert gone == ["a", "b"]

    def test_a_removal_listener_may_use_the_registry(self) -> None:
        registry, sizes = registry_of("a", max_keys=1), list[int]()
        registry.on_removal(lambda breaker: sizes.append(len(registry)))
        registry.get("b")
        assert sizes == [1]

    def test_a_listener_may_use_the_registry_during_a_move(self) -> None:
        registry: BreakerRegistry = BreakerRegistry(
            max_keys=2, failure_threshold=1, listeners=[lambda event: registry.get("other")]
        )
        fail(registry.get("a"))
        assert {"a", "other"} == set(registry.states())

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["get", "fail", "open", "reset", "hold", "let go"]),
                st.sampled_from("abcdefgh"),
            ),
            max_size=60,
        )
    )
    def test_any_history_evicts_what_a_full_sort_would(self, steps: list[tuple[str, str]]) -> None:
        registry = BreakerRegistry(max_keys=4, failure_threshold=10, clock=ManualClock())
        last_use: dict[str, int] = {}
        held: dict[str, Any] = {}
        gone: list[CircuitBreaker] = []
        registry.on_removal(gone.append)
        for time_of_use, (action, key) in enumerate(steps):
            expected = _next_to_go(registry, last_use) if key not in registry else None
            full = key not in registry and len(registry) == 4
            gone.clear()
            if full and expected is None:
                with pytest.raises(RegistryFullError):
                    registry.get(key)
                continue
            breaker = registry.get(key)
            assert ([expected] if full else []) == [breaker.name for breaker in gone]
            last_use[key] = time_of_use
            _act(breaker, action, held)


def _next_to_go(registry: BreakerRegistry, last_use: dict[str, int]) -> str | None:
    idle = [
        (breaker.counts.consecutive_failures > 0, last_use[breaker.name], breaker.name)
        for breaker in registry
        if breaker.state is State.CLOSED and not breaker.counts.in_flight
    ]
    return min(idle)[2] if idle else None


def _act(breaker: CircuitBreaker, action: str, held: dict[str, Any]) -> None:
    if action == "fail" and breaker.state is State.CLOSED:
        fail(breaker)
    elif action == "open":
        breaker.open()
    elif action == "reset":
        breaker.reset()
    elif action == "hold" and breaker.name not in held:
        held[breaker.name] = (breaker, breaker.try_acquire())
    elif action == "let go" and breaker.name in held:
        owner, permit = held.pop(breaker.name)
        if permit is not None:
            owner.release(permit)


class TestCost:
    def test_an_idle_key_takes_less_than_a_kilobyte(self) -> None:
        policy = BreakerPolicy()
        for bound in (None, 10_000):
            registry = BreakerRegistry(policy, max_keys=bound)
            registry.get("warm up")
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(2_000):
                registry.get(f"user-{number:06}")
            used = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert used / 2_000 <= 1024

    @pytest.mark.parametrize("preparation", ["none", "fail", "open"])
    def test_getting_a_new_key_from_a_full_registry_does_not_look_at_all_of_them(
        self, preparation: str
    ) -> None:
        def seconds_each(keys: int) -> float:
            registry = registry_of(*map(str, range(keys)), max_keys=keys)
            for breaker in list(registry)[: keys - keys // 10]:
                if preparation == "fail":
                    fail(breaker)
                elif preparation == "open":
                    breaker.open()
            registry.get("first")
            started = time.perf_counter()
            for number in range(500):
                registry.get(f"new {number}")
            return (time.perf_counter() - started) / 500

        small = min(seconds_each(500) for _ in range(3))
        large = min(seconds_each(8_000) for _ in range(3))
        assert large < 6 * small

    @pytest.mark.parametrize("preparation", ["none", "fail", "open"])
    def test_each_new_key_asks_few_breakers_whether_they_may_go(
        self, preparation: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = registry_of(*map(str, range(2_000)), max_keys=2_000)
        for breaker in list(registry)[:1_800]:
            if preparation == "fail":
                fail(breaker)
            elif preparation == "open":
                breaker.open()
        registry.get("first")
        looks = 0

        def counted(breaker: CircuitBreaker, idle: Any = rooms._idle) -> bool:
            nonlocal looks
            looks += 1
            return bool(idle(breaker))

        monkeypatch.setattr(rooms, "_idle", counted)
        for number in range(500):
            registry.get(f"new {number}")
        assert 500 <= looks <= 3 * 500


class TestThreads:
    def test_threads_that_ask_for_the_same_key_get_the_same_breaker(self) -> None:
        registry = BreakerRegistry(max_keys=10)
        found: list[CircuitBreaker] = []
        run_in_threads(16, lambda number: found.append(registry.get("alice")))
        assert len(found) == 16
        assert len(set(map(id, found))) == 1

    def test_the_bound_holds_under_load(self) -> None:
        registry = BreakerRegistry(max_keys=20)
        largest: list[int] = []

        def work(number: int) -> None:
            for turn in range(500):
                registry.get(f"{number}-{turn % 40}").call(len, "abc")
                largest.append(len(registry))

        run_in_threads(8, work)
        assert max(largest) == 20


def run_in_threads(count: int, work: Callable[[int], object]) -> None:
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait(10)
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 (told below)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []

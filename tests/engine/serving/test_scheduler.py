"""What the device does next, decided from plain state: no network, no thread."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.serving.requests import Priority
from engine.serving.scheduler import Lane, Limits, Running, State, Step, Waiting, decide

LIMITS = Limits(batch=4, verdict_tokens=100, report_tokens=25)
PLENTY = 1000


def verdict(number: int, tokens: int = 40, blocks: int = 3, *, begun: bool = False) -> Waiting:
    """A verdict whose last six tokens go together."""
    return Waiting(number, tokens, tail=6, blocks=0 if begun else blocks, begun=begun)


def report(number: int, tokens: int = 40, blocks: int = 3, *, begun: bool = False) -> Waiting:
    """A report whose prompt is not read yet."""
    return Waiting(number, tokens, tail=1, blocks=0 if begun else blocks, begun=begun)


def step(state: State, limits: Limits = LIMITS) -> Step:
    """The decision."""
    return decide(state, limits)


def test_verdicts_are_read_together_before_any_report_goes_on() -> None:
    """As many as the budget of tokens allows, in the order of their arrival."""
    lane = Lane((verdict(5), verdict(6), verdict(7)))
    decision = step(State(lane, Lane((report(1),), (Running(0, 0),)), PLENTY))
    assert decision == Step(Priority.VERDICT, read={5: 40, 6: 40})


def test_no_more_run_at_once_than_the_batch_allows() -> None:
    """Short prompts do not fill the budget of tokens, and stop at four."""
    lane = Lane(tuple(verdict(number, tokens=10) for number in range(9)))
    assert list(step(State(lane, Lane(), PLENTY)).read) == [0, 1, 2, 3]


def test_a_long_prompt_is_read_in_pieces_and_ends_in_one() -> None:
    """The last piece holds the whole tail, even where the budget is smaller."""
    for tokens, read in ((250, 100), (103, 97), (101, 95), (100, 100)):
        assert step(State(Lane((verdict(1, tokens),)), Lane(), PLENTY)).read == {1: read}
    narrow = replace(LIMITS, verdict_tokens=4)
    assert step(State(Lane((verdict(1, 8),)), Lane(), PLENTY), narrow).read == {1: 2}
    assert step(State(Lane((verdict(1, 6),)), Lane(), PLENTY), narrow).read == {1: 6}


def test_only_the_first_prompt_of_a_step_is_cut() -> None:
    """The second would be cut for a few tokens, and take two steps instead of one."""
    lane = Lane((verdict(1, 60), verdict(2, 60)))
    assert step(State(lane, Lane(), PLENTY)).read == {1: 60}


def test_reports_go_first_while_they_are_owed_time() -> None:
    """However many verdicts wait; and where reports have nothing to do, verdicts go on."""
    owed = State(Lane((verdict(9),)), Lane((), (Running(1, 0),)), PLENTY, owed=0.01)
    assert step(owed) == Step(Priority.REPORT, write=(1,))
    assert step(replace(owed, owed=0.0)).priority is Priority.VERDICT
    assert step(replace(owed, reports=Lane())).priority is Priority.VERDICT


def test_reading_a_report_never_holds_up_those_that_write_twice() -> None:
    """Reading and writing take turns."""
    lane = Lane((report(3, tokens=500),), (Running(1, 0), Running(2, 1)))
    assert step(State(Lane(), lane, PLENTY)).read == {3: 25}
    assert step(State(Lane(), replace(lane, read_last=True), PLENTY)).write == (1, 2)


def test_the_latest_report_gives_way_to_a_verdict() -> None:
    """One at a time, and nothing else happens in that step; verdicts never give way."""
    reports = Lane((report(8, begun=True),), (Running(2, 0), Running(7, 0)))
    state = State(Lane((verdict(9, blocks=5),)), reports, free_blocks=4)
    assert step(state) == Step(Priority.VERDICT, preempt=8)
    writing = State(Lane((verdict(9, blocks=5),), (Running(1, 0),)), Lane(), free_blocks=4)
    assert step(writing) == Step(Priority.VERDICT, write=(1,))


def test_a_report_that_gave_way_stays_until_it_has_advanced() -> None:
    """Another goes in its place; where all stay, the verdict waits for the reports' next step."""
    stays, goes = Running(7, 0, stays=True), Running(2, 0)
    waiting = Lane((verdict(9, blocks=5),))
    assert step(State(waiting, Lane((), (goes, stays)), free_blocks=4)).preempt == 2
    alone = State(waiting, Lane((), (stays,)), free_blocks=4)
    assert step(alone) == Step(Priority.REPORT, write=(7,))
    reading = Lane((replace(report(8, begun=True), stays=True),))
    assert step(replace(alone, reports=reading)) == Step(Priority.REPORT, read={8: 25})


def test_a_report_that_finds_no_block_sends_a_later_one_away() -> None:
    """The last of all is the one that wants the block."""
    state = State(Lane(), Lane((), (Running(1, 1), Running(2, 1))), free_blocks=1)
    assert step(state) == Step(Priority.REPORT, preempt=2)
    assert step(State(Lane(), Lane((), (Running(1, 1),)), 0)).preempt == 1
    both = (Running(1, 1, stays=True), Running(2, 1, stays=True))
    assert step(State(Lane(), Lane((), both), free_blocks=1)).preempt == 2


def test_a_report_waits_for_blocks_and_sends_nobody_away() -> None:
    """It leaves a block to each that writes, and does not let a later one overtake it."""
    lane = Lane((report(3, blocks=4), report(4, blocks=1)), (Running(1, 1),))
    assert step(State(Lane(), lane, free_blocks=4)).write == (1,)
    assert step(State(Lane(), lane, free_blocks=5)).read == {3: 25}


def test_what_has_begun_goes_on_before_what_waits_for_its_blocks() -> None:
    """An older report that was sent away would otherwise wait for a younger one for ever."""
    lane = Lane((report(1, blocks=9), report(2, tokens=10, begun=True)))
    assert step(State(Lane(), lane, free_blocks=2)).read == {2: 10}


@st.composite
def states(draw: st.DrawFn) -> State:
    """Any state in which each request by itself fits."""
    numbers = iter(range(100))

    def lane(*, is_verdict: bool) -> Lane:
        count = draw(st.integers(0, 5))
        waiting = tuple(
            Waiting(
                next(numbers),
                tokens=draw(st.integers(7, 300)),
                tail=draw(st.integers(1, 7)),
                blocks=0 if begun else draw(st.integers(1, 9)),
                begun=begun,
                stays=begun and not is_verdict and draw(st.booleans()),
            )
            for begun in draw(st.lists(st.booleans(), min_size=count, max_size=count))
        )
        need = st.integers(0, 0 if is_verdict else 1)
        stays = st.just(value=False) if is_verdict else st.booleans()
        writing = range(draw(st.integers(0, 4)))
        running = tuple(Running(next(numbers), draw(need), draw(stays)) for _ in writing)
        return Lane(waiting, running, draw(st.booleans()))

    verdicts, reports = lane(is_verdict=True), lane(is_verdict=False)
    nobody_holds = not any(job.begun for job in verdicts.waiting + reports.waiting) and not (
        verdicts.running or reports.running
    )
    free = draw(st.integers(9 if nobody_holds else 0, 30))
    return State(verdicts, reports, free, draw(st.floats(-1, 1)))


@given(states())
def test_every_decision_can_be_carried_out(state: State) -> None:
    """Within the free blocks and the batch; there is a step as long as there is a request."""
    decision = step(state)
    lane = state.verdicts if decision.priority is Priority.VERDICT else state.reports
    waiting = {job.number: job for job in lane.waiting}
    running = {job.number: job for job in lane.running}
    assert bool(decision) == bool(
        state.verdicts.waiting or state.verdicts.running or state.reports.waiting or state.reports.running
    )
    assert sum(waiting[n].blocks for n in decision.read) <= state.free_blocks
    assert sum(running[n].blocks for n in decision.write) <= state.free_blocks
    for number, tokens in decision.read.items():
        left = waiting[number].tokens - tokens
        assert tokens > 0
        assert left == 0 or left >= waiting[number].tail
    if decision.preempt is not None:
        assert not decision.read
        assert not decision.write
        assert decision.preempt in {job.number for job in state.reports.waiting + state.reports.running}

"""What the device does next, decided from plain state: no network, no thread."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.serving.requests import Priority
from engine.serving.scheduler import Limits, PriorityQueueView, Running, State, Step, Waiting, decide

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
    queue = PriorityQueueView((verdict(5), verdict(6), verdict(7)))
    decision = step(State(queue, PriorityQueueView((report(1),), (Running(0, 0),)), PLENTY))
    assert decision == Step(Priority.VERDICT, prefill={5: 40, 6: 40})


def test_no_more_run_at_once_than_the_batch_allows() -> None:
    """Short prompts do not fill the budget of tokens, and stop at four."""
    queue = PriorityQueueView(tuple(verdict(number, tokens=10) for number in range(9)))
    assert list(step(State(queue, PriorityQueueView(), PLENTY)).prefill) == [0, 1, 2, 3]


def test_a_long_prompt_is_read_in_pieces_and_ends_in_one() -> None:
    """The last chunk holds the whole tail, even where the budget is smaller."""
    for tokens, read in ((250, 100), (103, 97), (101, 95), (100, 100)):
        assert step(State(PriorityQueueView((verdict(1, tokens),)), PriorityQueueView(), PLENTY)).prefill == {
            1: read
        }
    narrow = replace(LIMITS, verdict_tokens=4)
    assert step(State(PriorityQueueView((verdict(1, 8),)), PriorityQueueView(), PLENTY), narrow).prefill == {
        1: 2
    }
    assert step(State(PriorityQueueView((verdict(1, 6),)), PriorityQueueView(), PLENTY), narrow).prefill == {
        1: 6
    }


def test_only_the_first_prompt_of_a_step_is_cut() -> None:
    """The second would be cut for a few tokens, and take two steps instead of one."""
    queue = PriorityQueueView((verdict(1, 60), verdict(2, 60)))
    assert step(State(queue, PriorityQueueView(), PLENTY)).prefill == {1: 60}


def test_reports_go_first_while_they_are_owed_time() -> None:
    """However many verdicts wait; and where reports have nothing to do, verdicts go on."""
    owed = State(PriorityQueueView((verdict(9),)), PriorityQueueView((), (Running(1, 0),)), PLENTY, owed=0.01)
    assert step(owed) == Step(Priority.REPORT, decode=(1,))
    assert step(replace(owed, owed=0.0)).priority is Priority.VERDICT
    assert step(replace(owed, reports=PriorityQueueView())).priority is Priority.VERDICT


def test_reading_a_report_never_holds_up_those_that_write_twice() -> None:
    """Reading and writing take turns."""
    queue = PriorityQueueView((report(3, tokens=500),), (Running(1, 0), Running(2, 1)))
    assert step(State(PriorityQueueView(), queue, PLENTY)).prefill == {3: 25}
    assert step(State(PriorityQueueView(), replace(queue, prefilled_last=True), PLENTY)).decode == (1, 2)


def test_the_latest_report_gives_way_to_a_verdict() -> None:
    """One at a time, and nothing else happens in that step; verdicts never are preempted."""
    reports = PriorityQueueView((report(8, begun=True),), (Running(2, 0), Running(7, 0)))
    state = State(PriorityQueueView((verdict(9, blocks=5),)), reports, free_blocks=4)
    assert step(state) == Step(Priority.VERDICT, preempt=8)
    writing = State(
        PriorityQueueView((verdict(9, blocks=5),), (Running(1, 0),)), PriorityQueueView(), free_blocks=4
    )
    assert step(writing) == Step(Priority.VERDICT, decode=(1,))


def test_a_report_that_gave_way_stays_until_it_has_advanced() -> None:
    """Another goes in its place; where all stay, the verdict waits for the reports' next step."""
    keeps_blocks, goes = Running(7, 0, keeps_blocks=True), Running(2, 0)
    waiting = PriorityQueueView((verdict(9, blocks=5),))
    assert step(State(waiting, PriorityQueueView((), (goes, keeps_blocks)), free_blocks=4)).preempt == 2
    alone = State(waiting, PriorityQueueView((), (keeps_blocks,)), free_blocks=4)
    assert step(alone) == Step(Priority.REPORT, decode=(7,))
    reading = PriorityQueueView((replace(report(8, begun=True), keeps_blocks=True),))
    assert step(replace(alone, reports=reading)) == Step(Priority.REPORT, prefill={8: 25})


def test_a_report_that_finds_no_block_sends_a_later_one_away() -> None:
    """The last of all is the one that wants the block."""
    state = State(PriorityQueueView(), PriorityQueueView((), (Running(1, 1), Running(2, 1))), free_blocks=1)
    assert step(state) == Step(Priority.REPORT, preempt=2)
    assert step(State(PriorityQueueView(), PriorityQueueView((), (Running(1, 1),)), 0)).preempt == 1
    both = (Running(1, 1, keeps_blocks=True), Running(2, 1, keeps_blocks=True))
    assert step(State(PriorityQueueView(), PriorityQueueView((), both), free_blocks=1)).preempt == 2


def test_a_report_waits_for_blocks_and_preempts_none() -> None:
    """It leaves a block to each that writes, and does not let a later one overtake it."""
    queue = PriorityQueueView((report(3, blocks=4), report(4, blocks=1)), (Running(1, 1),))
    assert step(State(PriorityQueueView(), queue, free_blocks=4)).decode == (1,)
    assert step(State(PriorityQueueView(), queue, free_blocks=5)).prefill == {3: 25}


def test_what_has_begun_goes_on_before_what_waits_for_its_blocks() -> None:
    """An older report that was preempted would otherwise wait for a younger one for ever."""
    queue = PriorityQueueView((report(1, blocks=9), report(2, tokens=10, begun=True)))
    assert step(State(PriorityQueueView(), queue, free_blocks=2)).prefill == {2: 10}


@st.composite
def states(draw: st.DrawFn) -> State:
    """Any state in which each request by itself fits."""
    numbers = iter(range(100))

    def queue(*, is_verdict: bool) -> PriorityQueueView:
        count = draw(st.integers(0, 5))
        waiting = tuple(
            Waiting(
                next(numbers),
                tokens=draw(st.integers(7, 300)),
                tail=draw(st.integers(1, 7)),
                blocks=0 if begun else draw(st.integers(1, 9)),
                begun=begun,
                keeps_blocks=begun and not is_verdict and draw(st.booleans()),
            )
            for begun in draw(st.lists(st.booleans(), min_size=count, max_size=count))
        )
        need = st.integers(0, 0 if is_verdict else 1)
        keeps_blocks = st.just(value=False) if is_verdict else st.booleans()
        writing = range(draw(st.integers(0, 4)))
        running = tuple(Running(next(numbers), draw(need), draw(keeps_blocks)) for _ in writing)
        return PriorityQueueView(waiting, running, draw(st.booleans()))

    verdicts, reports = queue(is_verdict=True), queue(is_verdict=False)
    none_resident = not any(job.begun for job in verdicts.waiting + reports.waiting) and not (
        verdicts.running or reports.running
    )
    free = draw(st.integers(9 if none_resident else 0, 30))
    return State(verdicts, reports, free, draw(st.floats(-1, 1)))


@given(states())
def test_every_decision_can_be_carried_out(state: State) -> None:
    """Within the free blocks and the batch; there is a step as long as there is a request."""
    decision = step(state)
    queue = state.verdicts if decision.priority is Priority.VERDICT else state.reports
    waiting = {job.number: job for job in queue.waiting}
    running = {job.number: job for job in queue.running}
    assert bool(decision) == bool(
        state.verdicts.waiting or state.verdicts.running or state.reports.waiting or state.reports.running
    )
    assert sum(waiting[n].blocks for n in decision.prefill) <= state.free_blocks
    assert sum(running[n].blocks for n in decision.decode) <= state.free_blocks
    for number, tokens in decision.prefill.items():
        left = waiting[number].tokens - tokens
        assert tokens > 0
        assert left == 0 or left >= waiting[number].tail
    if decision.preempt is not None:
        assert not decision.prefill
        assert not decision.decode
        assert decision.preempt in {job.number for job in state.reports.waiting + state.reports.running}

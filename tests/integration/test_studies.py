"""Studies: trials shared by tuners, begun anew after a kill, and stopped by what they cost."""

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.adapters.models import studies
from pipelines.adapters.models.studies import OpenTrial, Study
from pipelines.adapters.platform.process_usage import cpu_seconds
from pipelines.adapters.settings import Settings
from pipelines.domain.search import SearchPlan, Trial
from pipelines.domain.search_space import Choice, IntUniform, LogUniform, Space
from pipelines.domain.training import Candidate, FeatureColumns
from pipelines.errors import PlanOvertaken


def trees(columns: FeatureColumns, seed: int, rate: float = 0.1, depth: int = 3) -> object:
    raise NotImplementedError


def plain(columns: FeatureColumns, seed: int) -> object:
    raise NotImplementedError


SPACE: dict[str, Space] = {"rate": LogUniform(0.001, 1.0), "depth": IntUniform(1, 9)}
TREES = Candidate("trees", trees, SPACE)


def planned(
    candidates: Sequence[Candidate] = (TREES,),
    *,
    trials: int = 6,
    cpu_seconds: float = 1e9,
    seed: int = 7,
    key: str = "k" * 64,
) -> SearchPlan:
    return SearchPlan(
        key=key, candidates=candidates, trials=trials, cpu_seconds=cpu_seconds, seed=seed
    )


def study_in(folder: Path, plan: SearchPlan | None = None) -> Study:
    """Open the study as a process of its own would: through a storage of its own."""
    return studies.opened(Settings(home=folder), "shop", plan or planned())


def loss_of(trial: OpenTrial) -> float:
    """Return a made-up loss: least at rate 0.05 and depth 5."""
    rate, depth = trial.parameters["rate"], trial.parameters["depth"]
    assert isinstance(rate, float)
    assert isinstance(depth, int)
    return abs(rate - 0.05) + abs(depth - 5) / 10


def work(study: Study, tuner: int = 0, most: int = 1_000) -> int:
    """Make trials; return how many."""
    made = 0
    while made < most and (trial := study.next(tuner)) is not None:
        trial.finish(loss_of(trial))
        made += 1
    return made


def tried(study: Study) -> list[tuple[int, str, object]]:
    return [(trial.place, trial.state, trial.parameters) for trial in study.trials()]


def test_the_first_trial_is_what_the_candidate_itself_declares(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    first = study.next(0)
    assert first is not None
    assert first.parameters == {"rate": 0.1, "depth": 3}


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(tmp_path: Path) -> None:
    plan = planned(trials=12)  # the first ten are drawn at random, the rest from those before
    first, again = study_in(tmp_path / "a", plan), study_in(tmp_path / "b", plan)
    other = study_in(tmp_path / "c", planned(trials=12, seed=8))
    for study in (first, again, other):
        work(study)
    assert tried(first) == tried(again)
    assert tried(first)[0] == tried(other)[0]
    drawn = [{str(trial.parameters) for trial in study.trials()[1:]} for study in (first, other)]
    assert len(drawn[0]) == len(drawn[1]) == 11
    assert not drawn[0] & drawn[1]


def test_tuners_share_the_trials_and_never_make_more_than_planned(tmp_path: Path) -> None:
    one, two = study_in(tmp_path), study_in(tmp_path)
    begun = [found for found in (one.next(0), two.next(1), one.next(0)) if found is not None]
    assert [trial.place for trial in begun] == [0, 1, 2]
    for trial in begun:
        trial.finish(loss_of(trial))
    assert (work(two, 1), work(one, 0)) == (3, 0)
    trials = study_in(tmp_path).trials()
    assert [(trial.place, trial.state) for trial in trials] == [(n, "finished") for n in range(6)]
    assert [trial.tuner for trial in trials] == [0, 1, 0, 1, 1, 1]


def test_trials_are_split_over_candidates_and_one_without_a_space_is_tried_once(
    tmp_path: Path,
) -> None:
    deep = Candidate("deep", trees, {"depth": Choice([7, 8, 9])})
    plan = planned([TREES, Candidate("plain", plain), deep], trials=6)
    study = study_in(tmp_path, plan)
    while (trial := study.next(0)) is not None:
        trial.finish(1.0)
    assert [(trial.candidate, trial.place) for trial in study.trials()] == [
        ("trees", 0), ("trees", 1), ("trees", 2), ("plain", 0), ("deep", 0), ("deep", 1),
    ]  # fmt: skip


def test_a_trial_that_a_dead_tuner_left_is_begun_anew_as_if_nothing_had_happened(
    tmp_path: Path,
) -> None:
    undisturbed = study_in(tmp_path / "undisturbed")
    work(undisturbed)
    killed = study_in(tmp_path / "killed")
    work(killed, most=3)
    left = killed.next(0)
    assert left is not None
    left.report(0, 0.5, last=False)
    retried = study_in(tmp_path / "killed")
    assert retried.adopt(0) == 1
    begun = retried.next(0)
    assert begun is not None
    assert begun.place == 3, "before those that were to come after it"
    begun.finish(loss_of(begun))
    assert work(retried) == 2
    trials = retried.trials()
    assert [trial.place for trial in trials if trial.state == "killed"] == [3]
    stood = [trial for trial in trials if trial.state != "killed"]
    assert [(t.place, t.state, t.parameters) for t in stood] == tried(undisturbed)
    assert [trial.loss for trial in stood] == [trial.loss for trial in undisturbed.trials()]


def test_a_tuner_begins_only_its_own_trials_anew_and_the_last_one_anybodys(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    mine, yours = study.next(0), study.next(1)
    assert mine is not None
    assert yours is not None
    assert study_in(tmp_path).adopt(0) == 1
    assert [t.place for t in study.trials() if t.state == "running"] == [yours.place]
    assert study_in(tmp_path).adopt(None) == 1
    assert study_in(tmp_path).adopt(None) == 0
    assert work(study) == 6


def test_a_tuner_that_was_taken_for_dead_is_told_so_and_its_result_does_not_count(
    tmp_path: Path,
) -> None:
    slow = study_in(tmp_path)
    late = slow.next(0)
    assert late is not None
    retried = study_in(tmp_path)
    retried.adopt(0)
    work(retried)
    with pytest.raises(PlanOvertaken, match="one that a later process has begun anew"):
        late.finish(-1.0)
    assert min(trial.loss for trial in retried.trials() if trial.loss is not None) > 0


def test_a_kill_between_the_two_steps_of_beginning_anew_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_in(tmp_path)
    study.next(0)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("optuna.Study.tell", killed)
        with pytest.raises(KeyboardInterrupt):
            study.adopt(0)
    retried = study_in(tmp_path)
    assert retried.adopt(0) == 0
    assert work(retried) == 6


def test_no_trial_begins_when_the_cpu_seconds_of_all_are_spent(tmp_path: Path) -> None:
    study = study_in(tmp_path, planned(cpu_seconds=0.2))
    made = 0
    while (trial := study.next(made)) is not None:
        burned = cpu_seconds()
        while cpu_seconds() - burned < 0.08:
            pass
        trial.finish(1.0)
        made += 1
    trials = study_in(tmp_path, planned(cpu_seconds=0.2)).trials()
    spent = [trial.cpu_seconds for trial in trials]
    assert made < len(trials) == 6
    assert sum(spent) >= 0.2 > sum(spent[: made - 1])
    assert [trial.state for trial in trials[made:]] == ["waiting"] * (6 - made)


SPIN = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo spent; read more"
"""What a worker does that a library keeps for the next fit: it computes, tells, and waits."""


def test_a_trial_costs_what_its_workers_use_while_they_wait_for_the_next(tmp_path: Path) -> None:
    trial = study_in(tmp_path).next(0)
    assert trial is not None
    pipe = subprocess.PIPE
    with subprocess.Popen(["/bin/sh", "-c", SPIN], stdin=pipe, stdout=pipe) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"spent\n"
        own = trial.cpu_seconds
        trial.report(0, 0.5, last=False)
        while_it_waits = cpu_seconds()
        worker.communicate(b"\n")
        after = cpu_seconds()
    assert 0.05 < own < study_in(tmp_path).trials()[0].cpu_seconds
    assert after - while_it_waits < own / 2, "a worker that ended is not counted twice"


def test_the_cost_of_a_killed_trial_counts_as_far_as_it_was_told(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    left = study.next(0)
    assert left is not None
    left.report(0, 0.5, last=False)
    told = study.trials()[0].cpu_seconds
    assert told > 0.0
    retried = study_in(tmp_path)
    retried.adopt(0)
    assert [t.cpu_seconds for t in retried.trials() if t.state == "killed"] == [told]


def test_a_trial_worse_than_half_of_those_before_ends_early(
    tmp_path: Path,
) -> None:
    study = study_in(tmp_path)
    for number in range(studies.FIRST_TRIALS):
        trial = study.next(0)
        assert trial is not None
        assert not trial.report(0, 0.4 + number / 100, last=False)
        trial.finish(0.4)
    good, bad = study.next(0), study.next(0)
    assert good is not None
    assert bad is not None
    assert not good.report(0, 0.3, last=False)
    assert bad.report(0, 0.9, last=False)
    bad.prune()
    good.finish(0.3)
    ended = [(trial.state, trial.loss) for trial in study.trials()][-2:]
    assert ended == [("finished", 0.3), ("pruned", 0.9)]


def test_a_trial_that_was_judged_on_every_fold_is_not_ended_early(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    for number in range(studies.FIRST_TRIALS + 1):
        trial = study.next(0)
        assert trial is not None
        assert not trial.report(0, number / 10, last=True)
        trial.finish(number / 10)


def test_a_failed_trial_keeps_the_type_of_its_error_and_is_not_made_again(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    trial = study.next(0)
    assert trial is not None
    trial.fail("ValueError")
    assert study_in(tmp_path).adopt(None) == 0
    first = study.trials()[0]
    assert (first.state, first.reason, first.loss) == ("failed", "ValueError", None)
    assert work(study) == 5


def test_another_key_is_another_search(tmp_path: Path) -> None:
    work(study_in(tmp_path))
    other = study_in(tmp_path, planned(key="o" * 64))
    assert {trial.state for trial in other.trials()} == {"waiting"}


def test_an_entry_that_a_crash_cut_off_is_taken_away_before_the_next(tmp_path: Path) -> None:
    work(study_in(tmp_path), most=2)
    journal = studies.journal(Settings(home=tmp_path), "shop", "k" * 64)
    with journal.open("ab") as file:
        file.write(b'{"op_code":6,"tria')
    assert work(study_in(tmp_path)) == 4
    assert [t.state for t in study_in(tmp_path).trials()] == ["finished"] * 6


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    study_in(tmp_path)
    journal = studies.journal(Settings(home=tmp_path), "shop", "k" * 64)
    process = multiprocessing.get_context("fork").Process(target=_lock_and_die, args=(journal,))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert work(study_in(tmp_path)) == 6


def test_a_waiting_trial_is_taken_by_one_process_alone(tmp_path: Path) -> None:
    one, two = study_in(tmp_path), study_in(tmp_path)
    assert [studies._taken(study._storage, 0) for study in (one, two)] == [True, False]
    one._studies["trees"].tell(0, 0.5)
    assert not studies._taken(two._storage, 0), "not even when it has ended"


def test_tuners_in_processes_of_their_own_make_each_trial_once(tmp_path: Path) -> None:
    plan = planned(trials=24)
    study_in(tmp_path, plan)
    context = multiprocessing.get_context("fork")
    tuners = [context.Process(target=_work_alone, args=(tmp_path, plan, n)) for n in range(3)]
    for tuner in tuners:
        tuner.start()
    for tuner in tuners:
        tuner.join(60)
    assert [tuner.exitcode for tuner in tuners] == [0, 0, 0]
    trials = study_in(tmp_path, plan).trials()
    assert [(trial.place, trial.state) for trial in trials] == [(n, "finished") for n in range(24)]
    assert len({str(trial.parameters) for trial in trials}) == 24
    assert len({trial.tuner for trial in trials}) > 1


def _work_alone(folder: Path, plan: SearchPlan, tuner: int) -> None:
    work(study_in(folder, plan), tuner)


def _lock_and_die(journal: Path) -> None:
    from pipelines.adapters.models.optuna_storage import FileLock

    FileLock(journal).acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_trial_can_be_written_down(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    work(study)
    assert [Trial(**trial.to_plain()) for trial in study.trials()] == list(study.trials())

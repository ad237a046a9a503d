"""The demo: `headframe demo`, the whole loop of an example's use case through the scheduler."""

import sys
import threading
import time as clock
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import typer
from rich.status import Status

from pipelines.adapters import example_files
from pipelines.adapters.example_files import Demonstration, Example
from pipelines.adapters.platform import airflow_api, process_state, processes
from pipelines.adapters.platform.airflow_answers import Question, Run
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.cli import demo_summary, platform
from pipelines.cli.demo_summary import Kind, StepTime
from pipelines.cli.terminal import INTERRUPTED, console, fail_on
from pipelines.domain.windows import local_moment
from pipelines.errors import HeadframeError, PlatformError, Problem
from pipelines.use_case import TrainedUseCase, UseCase, load

FIRST = "flight_delays"
"""The example that is shown where none is named."""

POLL_SECONDS = 0.5
LONGEST_RUN_SECONDS = 900

REREAD_SECONDS = 60
"""Airflow reads every DAG file again within this time."""

Manual = Annotated[bool, typer.Option("--manual", help="Leave the approval to you.")]
Name = Annotated[str, typer.Argument(help="The use case, one with an example.")]
Weeks = Annotated[
    int | None,
    typer.Option(min=1, help="Rounds to score, of a week or what the example says; else all."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")]


@dataclass(slots=True)
class _Demo:
    """One demo under way: what it drives, and how long each step took."""

    settings: Settings
    example: Example
    use_case: UseCase
    parts: TrainedUseCase
    manual: bool
    steps: list[StepTime] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The use case's name."""
        return self.use_case.name

    @property
    def plan(self) -> Demonstration:
        """What of the example is shown."""
        return self.example.DEMO

    def midnight(self, day: date) -> datetime:
        """Return the start of a local day, in UTC."""
        return local_moment(day, time(0), ZoneInfo(self.parts.scoring.timezone))


def register(app: typer.Typer) -> None:
    """Add the command ``demo``."""
    app.command()(demo)


def demo(
    use_case: Name = FIRST,
    *,
    manual: Manual = False,
    weeks: Weeks = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole loop on an example: land, check, train, approve, score, monitor, retrain."""
    settings = Settings()
    console.stderr = as_json  # a script gets the summary alone on standard output
    began = clock.monotonic()
    lock = processes.only_one(settings.root / "run" / "demo.lock", what="another `make demo`")
    with fail_on(HeadframeError), lock, _nothing_left_running(settings):
        example = example_files.example(example_files.FOLDER.absolute(), use_case)
        declared = load(settings.dags.absolute() / f"{use_case}.py")
        running = _Demo(settings, example, declared, TrainedUseCase.of(declared), manual)
        rounds = min(weeks or example.DEMO.rounds, example.DEMO.rounds)
        with _step(running, "start the platform", "start"):
            platform.start(settings)
        _wait_for_dags(running)
        _first_model(running)
        for number in range(rounds):
            _score_round(running, number)
        _retrain(running, rounds)
        seconds = clock.monotonic() - began
        summary = demo_summary.gather(settings, declared, running.steps, seconds)
        demo_summary.save(settings, summary)
        if as_json:
            sys.stdout.write(summary.to_json() + "\n")
        else:
            demo_summary.show(settings, summary)


def _first_model(demo: _Demo) -> None:
    first, until = demo.plan.history
    as_of, label = demo.midnight(until), _days(first, until)
    _deliver(demo, first, until, label)
    _run(demo, "engineer", "ingest", as_of, f"ingest {label}")
    if demo_summary.judged_at(demo.settings, demo.name, as_of):
        console.print("  [dim]the first model was trained and judged before[/dim]")
        return
    _train(demo, as_of, "first model")


def _score_round(demo: _Demo, number: int) -> None:
    first = demo.plan.history[1] + timedelta(days=demo.plan.round_days * number)
    last = first + timedelta(days=demo.plan.round_days)
    label = _days(first, last)
    _deliver(demo, first, last, label)
    _run(demo, "engineer", "ingest", demo.midnight(last), f"ingest {label}")
    since, until = demo.midnight(first), demo.midnight(last)
    times = demo.parts.scoring.times
    wanted = len(times.between(since, until))
    if demo_summary.windows_scored(demo.settings, demo.use_case, since, until) == wanted:
        console.print(f"  [dim]{label} was scored before[/dim]")
        return
    conf = {"as_of": since.isoformat(), "until": until.isoformat()}
    _trigger(demo, "operator", "score", conf, f"score {label}, {times.describe()}")


def _retrain(demo: _Demo, rounds: int) -> None:
    first = demo.plan.history[1] + timedelta(days=demo.plan.round_days * rounds)
    last = first + timedelta(days=demo.plan.settling_days)
    as_of = demo.midnight(last)
    _deliver(demo, first, last, "the days until the last labels are final")
    _run(demo, "engineer", "ingest", as_of, "ingest them")
    _run(demo, "operator", "monitor", as_of, "monitor on final labels")
    if demo_summary.judged_at(demo.settings, demo.name, as_of):
        console.print("  [dim]the challenger was trained and judged before[/dim]")
        return
    _train(demo, as_of, "on all that is known now")


def _days(first: date, until: date) -> str:
    """Return the days [first, until) as people write them."""
    last = until - timedelta(days=1)
    return (
        f"{first:%d %b} to {last:%d %b %Y}"
        if first.year == last.year
        else f"{first:%d %b %Y} to {last:%d %b %Y}"
    )


def _deliver(demo: _Demo, first: date, until: date, label: str) -> None:
    with _step(demo, f"deliver {label}", "deliver") as step:
        landing = object_store.local(demo.settings.landing)
        delivered = demo.example.deliver(landing, first_day=first, until=until)
        step.note = f"{delivered.files_written:,} new files"


def _run(demo: _Demo, user: str, stage: str, as_of: datetime, label: str) -> None:
    _trigger(demo, user, stage, {"as_of": as_of.isoformat()}, label)


def _trigger(demo: _Demo, user: str, stage: str, conf: Mapping[str, Any], label: str) -> None:
    with _step(demo, label, "run") as step, airflow_api.connect(demo.settings, user=user) as api:
        run = api.trigger(f"{demo.name}__{stage}", conf)
        _wait(api, run, step)
        _finish(step, api, run)


def _train(demo: _Demo, as_of: datetime, reason: str) -> None:
    """Train, and answer the approval when the gates let the challenger get there."""
    with (
        _step(demo, f"train and judge a challenger ({reason})", "run") as step,
        airflow_api.connect(demo.settings, user="scientist") as api,
    ):
        waiting = api.questions(f"{demo.name}__train")
        if waiting:  # of a demo that was cut off before it was answered
            run = api.run(waiting[0].dag_id, waiting[0].run_id)
        else:
            conf = {"as_of": as_of.isoformat(), "reason": reason}
            run = api.trigger(f"{demo.name}__train", conf)
        question = _wait_for_question(api, run, step)
        if question is None:
            step.note = "the gates refused it, the champion stays"
            _finish(step, api, run)
    while question is not None:
        _answer(demo, question)
        with (
            _step(demo, "promote", "run") as step,
            airflow_api.connect(demo.settings, user="scientist") as api,
        ):
            question = _wait_for_question(api, run, step)  # asked again when a try was lost
            if question is None:
                _finish(step, api, run)


def _answer(demo: _Demo, question: Question) -> None:
    with airflow_api.connect(demo.settings, user="approver") as api:
        if not demo.manual:
            with _step(demo, "approve, as the user approver", "person"):
                api.answer(
                    question, "Approve", form={"why": "Beats the baseline on what was held out."}
                )
            return
        run = quote(question.run_id, safe="")
        console.print("\n[bold]Your turn.[/bold] Log in as [bold]approver[/bold] and answer:")
        console.print(
            f"  {api.address}/dags/{question.dag_id}/runs/{run}/tasks/{question.task_id}"
            "/required_actions",
            soft_wrap=True,
            highlight=False,
        )
        platform.print_addresses(demo.settings)
        with _step(demo, "wait for your answer", "person"):
            while any(q.run_id == question.run_id for q in api.questions(question.dag_id)):
                clock.sleep(2 * POLL_SECONDS)


def _wait_for_dags(demo: _Demo) -> None:
    wanted = {f"{demo.name}__{stage}" for stage in ("ingest", "train", "score", "monitor")}
    with (
        _step(demo, "read the DAGs", "start") as step,
        airflow_api.connect(demo.settings, user="operator") as api,
    ):
        began = clock.monotonic()
        while not wanted <= {dag.dag_id for dag in api.dags()}:
            waited = clock.monotonic() - began
            # An error of before a file was mended stands until Airflow reads the file again.
            for failure in api.import_failures():
                if demo.name in failure.file and waited > REREAD_SECONDS:
                    last = "\n".join(failure.message.strip().splitlines()[-12:])
                    raise _not_working(failure.file, "DAGs that Airflow can read", last)
            if waited > LONGEST_RUN_SECONDS:
                raise _not_working(demo.name, "its four DAGs in Airflow", "not all of them")
            clock.sleep(POLL_SECONDS)
        for dag_id in sorted(wanted):
            api.unpause(dag_id)
        step.note = f"{len(wanted)} DAGs"


def _wait(api: airflow_api.AirflowApi, run: Run, step: StepTime) -> Run:
    deadline = clock.monotonic() + LONGEST_RUN_SECONDS
    while True:
        now = api.run(run.dag_id, run.run_id)
        if now.ended:
            return now
        step.doing = _progress(api, run)
        if clock.monotonic() > deadline:
            raise _not_working(run.run_id, "the run to end", f"{now.state} after 15 minutes")
        clock.sleep(POLL_SECONDS)


def _wait_for_question(api: airflow_api.AirflowApi, run: Run, step: StepTime) -> Question | None:
    deadline = clock.monotonic() + LONGEST_RUN_SECONDS
    while clock.monotonic() < deadline:
        if found := api.questions(run.dag_id, run.run_id):
            return found[0]
        if api.run(run.dag_id, run.run_id).ended:
            return None
        step.doing = _progress(api, run)
        clock.sleep(POLL_SECONDS)
    raise _not_working(run.run_id, "the run to end or to ask", "neither after 15 minutes")


def _progress(api: airflow_api.AirflowApi, run: Run) -> str:
    tasks = api.task_runs(run.dag_id, run.run_id)
    return ", ".join(f"{task.task_id} {task.state}" for task in tasks if task.state)


def _finish(step: StepTime, api: airflow_api.AirflowApi, run: Run) -> None:
    """Keep how long each task of an ended run worked; raise PlatformError when the run failed."""
    tasks = api.task_runs(run.dag_id, run.run_id)
    for task in tasks:
        if task.started_at and task.ended_at and task.task_id != "approve":
            step.tasks[task.task_id] = (task.ended_at - task.started_at).total_seconds()
    state = api.run(run.dag_id, run.run_id).state
    if state == "success":
        return
    for task in tasks:
        if task.state == "failed":
            last = "\n".join(api.log_text(task).splitlines()[-12:])
            raise _not_working(f"{run.dag_id}, task {task.task_id}", "success", f"failure:\n{last}")
    raise _not_working(run.dag_id, "success", state)


@contextmanager
def _step(demo: _Demo, label: str, kind: Kind) -> Iterator[StepTime]:
    """Show one step while it runs, and a line with its seconds after it."""
    step = StepTime(label=label, kind=kind)
    began = clock.monotonic()
    with console.status(label) as spinner, _refreshing(spinner, step, began):
        yield step
    step.seconds = round(clock.monotonic() - began, 2)
    demo.steps.append(step)
    console.print(
        f"[green]ok[/green] {label} [dim]{step.note + ', ' if step.note else ''}"
        f"{step.seconds:.1f} s[/dim]",
        highlight=False,
    )


@contextmanager
def _refreshing(spinner: Status, step: StepTime, began: float) -> Iterator[None]:
    """Keep the spinner's text in step with what is being done."""
    done = threading.Event()

    def refresh() -> None:
        while not done.wait(POLL_SECONDS):
            seconds = clock.monotonic() - began
            spinner.update(f"{step.label} [dim]{seconds:.0f} s  {step.doing}[/dim]")

    thread = threading.Thread(target=refresh, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _nothing_left_running(settings: Settings) -> Iterator[None]:
    """Stop the platform when the demo is interrupted, if the demo was what started it."""
    was_running = process_state.running(settings.root) is not None
    try:
        yield
    except KeyboardInterrupt:
        if not was_running:
            console.print("Interrupted: stopping the platform. Its state stays; run it again.")
            processes.stop(settings.root)
        raise typer.Exit(INTERRUPTED) from None


def _not_working(where: str, expected: str, found: str) -> PlatformError:
    fix = "Look at `headframe status`, `headframe logs` and the run in Airflow; then run it again."
    return PlatformError(Problem(where=where, expected=expected, found=found, fix=fix))

"""Runbooks: what a DAG does and what to do when it fails, made from the declaration."""

from dataclasses import dataclass

from pipelines.use_case import TrainedUseCase, UseCase


@dataclass(frozen=True, slots=True)
class Runbook:
    """One line for lists, and the Markdown that Airflow shows as Dag Docs."""

    summary: str
    text: str


def runbook(use_case: UseCase, purpose: str) -> Runbook:
    """Return the runbook of the DAG ``<use case>__<purpose>``."""
    written = {"ingest": _ingest, "train": _train, "score": _score, "monitor": _monitor}
    summary, starts, body = written[purpose](use_case)
    lines = [
        f"# {use_case.name}: {purpose}",
        use_case.purpose,
        f"{summary} It starts {starts}.",
        f"Owner **{use_case.owner}**, tier **{use_case.tier}**, declared in "
        f"`dags/{use_case.name}.py`.{_end(use_case, purpose)}",
        body,
    ]
    return Runbook(summary=summary, text="\n\n".join(line for line in lines if line))


def _end(use_case: UseCase, purpose: str) -> str:
    if use_case.ends_before is None or purpose == "monitor":
        return ""
    return (
        f" From {use_case.ends_before} on nothing starts on schedule; runs by hand stay possible."
    )


def _ingest(use_case: UseCase) -> tuple[str, str, str]:
    name = use_case.name
    tables = "\n".join(
        f"- `{table.name}` from `landing/{name}/{table.files.pattern}`" for table in use_case.tables
    )
    body = f"""\
{tables}

Running it again takes nothing in twice. Tables that took new files are announced to the DAGs that
wait for them. `docs` then writes a page per check, also when `ingest` failed; it decides nothing
about the run, and the next one writes what it could not.

## When it fails
The last lines of the log say which file or rule, and what to do. Everything else was committed.

| the log says | do |
|---|---|
| a file was refused | Deliver it again under a new name, or correct the contract in `dags/{name}.py`. |
| a critical expectation failed | Nothing of that table was published. Mend the source, or the rule in `expectations/{name}/`. |
| anything else, after 3 tries | Look at `headframe status` and `headframe doctor`, then clear the task. |

## By hand
```
headframe run ingest {name} --as-of DATE
headframe sql "select _file, _row, _failed from quarantine.{name}.{use_case.tables[0].name} limit 20"
```"""  # noqa: S608 - for a person to run
    return (
        "Takes landed files into silver exactly once, and sets aside what breaks the contract.",
        f"on the schedule `{use_case.ingest_schedule}` (UTC) and by hand",
        body,
    )


def _train(use_case: UseCase) -> tuple[str, str, str]:
    name, governed = use_case.name, use_case.tier == "governed"
    gates = ", ".join(type(gate).__name__ for gate in use_case.gates)
    schedule = use_case.retraining.schedule
    asks = f"""\
- `approve` shows the evidence to the users with role `{use_case.roles.approver}` (in `users.toml`),
  except who asked for the training, and waits up to {use_case.approval_expires.days} days.
  A rejection or no answer fails the task; the champion stays.
"""
    refused = f"{'`approve`, ' if governed else ''}`promote` and `reference` are"
    row = f"""\
| `approve`, rejected | Read the reason in its log. Train again when it no longer holds. |
| `approve`, nobody left | Give the role to a second person in `users.toml`, then clear the task. |
| `approve`, nobody accepted the declaration | The owner runs `headframe accept {name}`; then clear the task. |
| `promote`, the answer | It expired, or its giver lost the role: start a new run, and answer it. |
"""
    parts = TrainedUseCase.of(use_case)
    training, block = parts.training, parts.scoring.times.block
    tunes = f"""\
- `plan` lays out a search: {training.trials} trials, {training.cpu_seconds:g} CPU seconds together.
- `tune` makes the trials, {training.tuning_tasks} at a time; each is judged on the
  {training.split.validation_days} {block}s before the held-out ones. A retry goes on where it stopped.
"""
    fits = "fits the best of them" if training.searches else "fits one challenger"
    tune_row = """\
| `tune` | Mend what the log names and clear the task: finished trials stay. |
"""
    first = "plan" if training.searches else "train"
    unasked = schedule or use_case.retraining.is_triggered
    skip_row = f"""\
| `{first}`, skipped | Nothing may be learned now: its log says what is broken. Mend that, or start it by hand. |
"""
    body = f"""\
{tunes if training.searches else ""}- `train` {fits} on rows whose label is final, and registers it as a candidate.
- `evaluate` judges it on held-out {block}s ({gates}). When a gate refuses, {refused} skipped, the run
  stays green, and the log of `evaluate` says why in words.
{asks if governed else ""}- `promote` makes it the champion.
- `reference` profiles the rows it learned from: what its later blocks are compared with.

## When it fails
| task | do |
|---|---|
{skip_row if unasked else ""}| `train`, not enough data | Ingest more history, or wait for labels to become final. |
{tune_row if training.searches else ""}| `reference` | The champion is in place; `monitor` makes what is missing. Mend what the log names. |
| any, the code changed | The use case or the library was changed under the run: start a new run. |
{row if governed else ""}| any other | Read the last lines of its log, mend the cause, clear the task. |

## By hand
```
headframe run train {name} --as-of DATE
headframe run evaluate {name} --version VERSION
headframe run promote {name} --version VERSION
```"""
    started = f"on the schedule `{schedule}` (UTC) and by hand" if schedule else "by hand only"
    if use_case.retraining.is_triggered:
        started = f"when `{name}__monitor` asks for it; {started}"
    return (
        "Trains a challenger, judges it, and makes it the champion"
        + (" once a second person approved." if governed else " when the gates pass."),
        started,
        body,
    )


def _score(use_case: UseCase) -> tuple[str, str, str]:
    name, scoring = use_case.name, use_case.scoring
    assert scoring is not None  # noqa: S101 - tiers without scoring have no such DAG
    stale = (
        "the predictions are made and flagged"
        if scoring.on_stale == "score_and_flag"
        else "none are made and the task fails"
    )
    late = "when data comes late, " if scoring.on_late == "rescore" else ""
    one = f"""\
- `score` predicts with what was known at each scoring time. When a table is late, {stale}.
"""
    many = f"""\
- `plan` pins the feature rows of each scoring time and deals them to at most {scoring.parts} parts. When a
  table is late, {stale}.
- `score_part`, once for each part, predicts into files that nobody sees yet. A part that is tried
  again is made again, with the same predictions.
- `publish` counts every row, and commits all parts of a window at once.
"""
    deliver = """\
- `deliver` gives consumers what was declared in `outputs`; what they have already is left alone.
"""
    rule = use_case.probation_rule
    shadow = (
        f"""\
- `shadow`, while a champion is on probation ({rule.blocks} blocks), lets the version before it score the same
  feature rows into `predictions.{name}__shadow`, which nobody is given.
"""
        if rule
        else ""
    )
    shadow_row = (
        """\
| `shadow` alone failed | Consumers have their predictions. Mend what it names and clear it: a block without it does not count. |
"""
        if rule
        else ""
    )
    overtaken = """\
| another run published since the plan | Clear the run from `plan`. |
"""
    body = f"""\
- `champion` pins the model version and the code, for every task and retry of the run.
{one if scoring.parts == 1 else many}{deliver if scoring.outputs else ""}{shadow}
Scoring a time again changes nothing unless the model, the features or the declaration did.

By hand, `As of` alone scores the last scoring time up to it; with `Until`, every scoring time of
the window; with `Late data only`, what was scored without data that has come since.

## When it fails
| the log says | do |
|---|---|
{overtaken if scoring.parts > 1 else ""}\
| the code changed | A task, or the machine of a worker, has another code than the run began with: start a new run. |
| no champion | Train and promote one: start `{name}__train`. |
| ledger, alias and artifact disagree | Nothing is scored until they agree: `headframe reconcile {name}` says why, `--repair` mends it; or `headframe rollback {name} --reason ...`. |
| a stale table | Deliver and ingest the missing files, then clear the task. |
{shadow_row}\
| anything else, after 3 tries | Look at `headframe status`, then clear the task. |

## By hand
```
headframe run score {name} --from DATE --until DATE
headframe sql "select * from predictions.{name} order by scored_for desc limit 20"
```"""  # noqa: S608 - for a person to run
    return (
        "Makes the champion's predictions for each scoring time, exactly once.",
        f"{scoring.times.describe()}, {late}and by hand",
        body,
    )


def _monitor(use_case: UseCase) -> tuple[str, str, str]:
    name, label = use_case.name, use_case.label
    assert label is not None  # noqa: S101 - tiers without a label have no such DAG
    hours = int(label.final_after.total_seconds() // 3600)
    rule = use_case.probation_rule
    probation = (
        f"""\
`probation` compares a champion with the version before it, on the final labels of its first
{rule.blocks} blocks: by `{rule.loss}`, every {rule.look_every} blocks, at {rule.confidence:g} confidence. When it is worse, the version
before is put back, which is an incident that pages; nothing is to be done but to look why.

"""
        if rule
        else ""
    )
    retrain = f"""\
`retrain` asks for a training where one is declared and nothing stands in its way; its log says which or what.
`headframe retraining {name}` tells what was asked for and what came of it.

"""
    body = f"""\
A label is final {hours} hours after its event. Only final labels count; a block with fewer than
{use_case.monitoring.minimum_labels} of them is "too few", never a number.

Inputs and predictions of each block are compared with earlier blocks, and losses with those of the
held-out window. What has a consequence is an incident; on data that does not drift at most
{use_case.monitoring.alarms_per_quarter:g} in a quarter is expected. The first line of the log is the verdict; the task `report` writes all of it as a page,
whose path its log names.

| the verdict | do |
|---|---|
| INFO | Nothing: it changed, and the model does not mind. |
| WARN | Ask the source what changed. Train a challenger if it is to stay. |
| PAGE, a hard rule | Mend the source or the contract. Do not train on these blocks. |
| PAGE, harm | Look at the segments, then train a challenger. |
| Learning | Nothing: too few blocks to compare with. Hard rules are watched meanwhile. |
| Not watched | What it says: train, promote, or run monitor. |

{probation}{retrain if use_case.retraining.is_triggered else ""}## When it fails
It reads and measures; nothing waits for it. Mend what the last lines of its log name, and clear the
task. `report` decides nothing about the run.

## By hand
```
headframe run monitor {name} --as-of DATE
headframe report {name} --as-of DATE
headframe sql "select * from gold.performance.{name} order by block desc limit 20"
headframe sql "select block, test, level, reason from gold.monitoring.{name} order by block desc limit 20"
```"""  # noqa: S608 - for a person to run
    return (
        "Settles labels, measures performance on final ones, watches inputs, freshness and volume.",
        f"on new predictions, on new rows of `{label.table.name}`, and by hand",
        body,
    )

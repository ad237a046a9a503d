"""Broker: the queue between the scheduler and Celery's workers, and what Airflow is told of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pipelines.adapters.settings import Settings
from pipelines.errors import Problem, ServiceUnavailable, SettingsError

SCHEMES = ("redis", "rediss")
"""What Headframe is tested with; rediss is Redis over TLS."""

DATABASES = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
"""Workers write their results into Airflow's database at the same time: not SQLite's strength."""

MOST_TASKS = 32
"""Tasks that the scheduler hands over at a time, over all workers; those beyond their slots wait."""

LOST_WORKER_SECONDS = 60
"""A worker that has said nothing of a task for so long is dead, and the task is tried again.
Airflow's 300 s are long for a person who waits; a task says that it lives each second."""

LOST_MESSAGE_SECONDS = 300
"""A task that nobody took up for so long is handed over anew: its message may have been lost with
a worker or with the broker's memory. One that only waits for a slot loses nothing by it."""

OFTEN = 100_000
"""How often a waiting task may be handed over anew: Airflow would fail it after the second time."""

LONGEST_RUN_SECONDS = 7 * 24 * 3600
"""As maintenance: a message is given to a second worker when the first has held it for so long."""

ANSWER_SECONDS = 5.0
"""How long the broker may take to answer a first question."""

PING_SECONDS = 1.0
"""How long workers may take to say that they are there; Celery waits all of it."""


def require(settings: Settings) -> None:
    """Raise SettingsError with all that stands against workers in these settings."""
    if found := problems(settings):
        raise SettingsError(*found)


def problems(settings: Settings) -> list[Problem]:
    """Return what is wrong with the settings of workers; nothing without a broker is wrong."""
    if not settings.broker:
        return []
    found = []
    if wrong := _wrong_url(settings.broker):
        found.append(
            Problem(
                where="HEADFRAME_BROKER",
                expected="the URL of a Redis server, such as redis://127.0.0.1:6379/0",
                found=wrong,
                fix="Correct the setting, or unset it to run every task beside the scheduler.",
            )
        )
    database = settings.database.partition(":")[0]
    if database not in DATABASES:
        found.append(
            Problem(
                where="HEADFRAME_DATABASE",
                expected="PostgreSQL, which the scheduler and many workers can write to at a time",
                found=repr(database) if database else "SQLite under the home",
                fix="Set it to postgresql://USER:PASSWORD@HOST/DATABASE, or unset HEADFRAME_BROKER.",
            )
        )
    return found


def airflow_options(settings: Settings, *, identity: str) -> dict[str, dict[str, str]]:
    """Return Airflow's options, by section, for tasks that go to workers; none without a broker.

    ``identity`` keeps the messages of several homes apart that share one Redis database.
    """
    if not settings.broker:
        return {}
    return {
        "core": {"executor": "CeleryExecutor", "parallelism": str(MOST_TASKS)},
        "scheduler": {
            "task_instance_heartbeat_timeout": str(LOST_WORKER_SECONDS),
            "task_queued_timeout": str(LOST_MESSAGE_SECONDS),
            "task_queued_timeout_check_interval": "60",
            "num_stuck_in_queued_retries": str(OFTEN),
        },
        "celery": {
            "broker_url": settings.broker,
            "worker_concurrency": str(settings.worker_tasks),
            # A message that one worker holds ready is one that an idle worker cannot take.
            "worker_prefetch_multiplier": "1",
            "task_acks_late": "True",
            # A loaded machine answers late; after Airflow's 1 s a task would count as not sent.
            "operation_timeout": "20",
            # Messages are few and short; more processes would be started anew for each handful.
            "sync_parallelism": "1",
        },
        "celery_broker_transport_options": {
            "visibility_timeout": str(LONGEST_RUN_SECONDS),
            "global_keyprefix": key_prefix(identity),
        },
    }


def key_prefix(identity: str) -> str:
    """Return how every key of a home begins in the Redis database."""
    return f"headframe-{identity}:"


def refusal(settings: Settings) -> str:
    """Return why the broker cannot be used, without its address; empty when it answers."""
    try:
        with _connected(_app(settings, identity="")):
            return ""
    except ServiceUnavailable as error:
        return error.problems[0].found


def answering(settings: Settings, *, identity: str) -> frozenset[str]:
    """Ask every worker of the home that ``identity`` names whether it is there; return their names.

    Takes about a second. Raises ServiceUnavailable when the broker does not answer.
    """
    app = _app(settings, identity=identity)
    with _connected(app) as connection:
        answers = app.control.ping(timeout=PING_SECONDS, connection=connection)
    return frozenset(name.removeprefix("celery@") for answer in answers for name in answer)


@contextmanager
def _connected(app: Any) -> Iterator[Any]:  # noqa: ANN401 - Celery has no types
    from kombu.exceptions import OperationalError

    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=ANSWER_SECONDS)
            yield connection
    except OperationalError as error:
        raise ServiceUnavailable(
            Problem(
                where="the broker of HEADFRAME_BROKER",
                expected="an answer",
                # Only the type: the text repeats the address.
                found=f"no connection ({type(error.__cause__ or error).__name__})",
                fix="Start Redis, or correct its address; see `headframe doctor`.",
            )
        ) from None


def _app(settings: Settings, *, identity: str) -> Any:  # noqa: ANN401 - Celery has no types
    from celery import Celery

    app = Celery("headframe", broker=settings.broker, set_as_current=False)
    waits = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    prefix = {"global_keyprefix": key_prefix(identity)} if identity else {}
    app.conf.broker_transport_options = {**waits, **prefix}
    return app


def _wrong_url(url: str) -> str:
    """Return what is wrong with a broker's URL; never the URL itself, which may hold a password."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        return "no URL"
    if scheme not in SCHEMES:
        return f"a {scheme} URL"
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return "" if host else f"a {scheme} URL without a host"

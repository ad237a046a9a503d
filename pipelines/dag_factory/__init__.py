"""DAG factory: use case -> DAGs; the only package that imports Airflow, and only when it parses."""

from datetime import UTC, datetime

from pipelines.errors import DeclarationError
from pipelines.use_case import UseCase, is_loading

__all__ = ["build_dags"]


def build_dags(use_case: UseCase) -> None:
    """Turn a use case into its DAGs when Airflow reads the calling file; do nothing otherwise.

    Airflow registers the DAGs with the file it is reading, so nothing is returned. Raises
    DeclarationError with every problem of the use case: Airflow shows it as the file's import error.
    """
    if is_loading():
        return
    if problems := use_case.problems():
        raise DeclarationError(*problems)
    from airflow.sdk import get_parsing_context

    from pipelines.dag_factory.dags import declare_dags

    # A worker asks for one DAG of the file; the process that reads files asks for all.
    declare_dags(use_case, only=get_parsing_context().dag_id, now=datetime.now(UTC))

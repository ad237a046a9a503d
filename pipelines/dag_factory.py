"""DAG factory: use case -> DAGs; the only module that imports Airflow."""

from pipelines.use_case import UseCase, is_loading


def build_dags(use_case: UseCase) -> None:
    """Turn a use case into its DAGs when Airflow is parsing; do nothing otherwise."""
    if is_loading():
        return
    raise NotImplementedError

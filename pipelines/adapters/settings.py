"""Settings: every HEADFRAME_* variable, and the paths that follow from them."""

import os
from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.adapters.stores.object_store import Folder, folder_of

PREFIX = "HEADFRAME_"
"""Beginning of every variable's name; as on all systems, small letters count as capitals."""


class Settings(BaseSettings):
    """The platform's settings, read from ``HEADFRAME_*`` environment variables.

    Paths are absolute once resolved; nothing here creates a file.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True
    )

    home: Path = Path(".headframe")
    dags: Path = Path("dags")
    expectations: Path = Path("expectations")
    lake_folder: str = Field(default="", validation_alias="HEADFRAME_LAKE")
    """Path or URL (s3://, gs://, az://, abfss://) of the lake; empty means under ``home``."""
    landing_folder: str = Field(default="", validation_alias="HEADFRAME_LANDING")
    """Path or URL of the landed files; empty means under ``home``."""
    fsync: bool = True
    """Whether a commit on a local disk is on the disk before it counts."""
    database: str = ""
    """SQLAlchemy URL of Airflow's metadata database; empty means SQLite under ``home``."""
    broker: str = ""
    """URL of the Redis server that hands tasks to workers; empty: tasks run beside the scheduler."""
    workers: int = Field(default=1, ge=0)
    """Workers that ``headframe up`` starts here where there is a broker."""
    worker_tasks: int = Field(default=2, ge=1)
    """Tasks that one worker runs at a time."""
    airflow: str = ""
    """Where workers and people reach Airflow, such as a proxy; empty means its loopback address."""
    airflow_password_file: Path | None = None
    """Holds the password of the platform's own Airflow user; None: ``headframe up`` made one."""
    mlflow: str = ""
    """MLflow tracking URI; empty means a SQLite file under ``home``."""
    notify: str = ""
    """Apprise URL that gets failure messages; empty means the file ``home/notifications.log``."""

    @property
    def root(self) -> Path:
        """The absolute folder that holds all state."""
        return self.home.absolute()

    @property
    def lake(self) -> Folder:
        """Folder of every Delta table."""
        return folder_of(self.lake_folder) if self.lake_folder else self.root / "lake"

    @property
    def landing(self) -> Folder:
        """Folder of delivered files, never changed."""
        return folder_of(self.landing_folder) if self.landing_folder else self.root / "landing"

    @property
    def mlflow_uri(self) -> str:
        """The tracking URI in use."""
        return self.mlflow or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def mlflow_is_embedded(self) -> bool:
        """Whether MLflow is this home's own: its artifacts then lie under ``mlflow_artifacts``."""
        return self.mlflow_uri.startswith(("sqlite:///", "http://127.0.0.1:"))

    @property
    def mlflow_artifacts(self) -> Path:
        """Folder of model artifacts of the embedded MLflow, with or without its server."""
        return self.root / "mlflow" / "artifacts"

    @property
    def users_file(self) -> Path:
        """Which user has which Headframe role."""
        return self.root / "users.toml"


def current_settings() -> Settings:
    """Return what the variables say now, read anew only when one of them changed.

    Reading them takes a millisecond, which is a tenth of reading a DAG file.
    Raises what ``Settings()`` does.
    """
    names = (name for name in os.environ if name.upper().startswith(PREFIX))
    return _settings_of(tuple((name, os.environ[name]) for name in sorted(names)))


@lru_cache(maxsize=1)
def _settings_of(variables: tuple[tuple[str, str], ...]) -> Settings:
    del variables  # what is kept is of these, and of no others
    return Settings()

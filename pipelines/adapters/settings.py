"""Settings: every HEADFRAME_* variable, and the paths that follow from them."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The platform's settings, read from ``HEADFRAME_*`` environment variables.

    Paths are absolute once resolved; nothing here creates a file.
    """

    model_config = SettingsConfigDict(env_prefix="HEADFRAME_", frozen=True, extra="ignore")

    home: Path = Path(".headframe")
    dags: Path = Path("dags")
    expectations: Path = Path("expectations")
    database: str = ""
    """SQLAlchemy URL of Airflow's metadata database; empty means SQLite under ``home``."""
    mlflow: str = ""
    """MLflow tracking URI; empty means a SQLite file under ``home``."""
    notify: str = ""
    """Apprise URL that gets failure messages; empty means the file ``home/notifications.log``."""

    @property
    def root(self) -> Path:
        """The absolute folder that holds all state."""
        return self.home.absolute()

    @property
    def lake(self) -> Path:
        """Folder of every Delta table."""
        return self.root / "lake"

    @property
    def landing(self) -> Path:
        """Folder of delivered files, never changed."""
        return self.root / "landing"

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

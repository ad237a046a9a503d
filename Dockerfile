# syntax=docker/dockerfile:1
# One image for every Headframe service: Airflow's four processes, the migration and MLflow.

FROM python:3.11-slim-bookworm AS build
# Copy instead of hard links: the cache mount is another file system than the image.
ENV UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /opt/headframe
# Dependencies first: this layer is rebuilt only when the lock changes.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --compile-bytecode --no-install-project
COPY README.md LICENSE ./
COPY headframe headframe
COPY pipelines pipelines
COPY dags dags
COPY plugins plugins
COPY expectations expectations
# The project stays editable, so a code digest is taken over the files an operator sees;
# uv compiles only what it installs into the environment, hence compileall for our own code.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --compile-bytecode \
    && python -m compileall -q pipelines dags plugins
# Airflow forks every task from the scheduler: what is imported before the fork costs a task
# nothing. The same text that `headframe up` writes for the embedded platform.
RUN install --directory /opt/preload \
    && /opt/venv/bin/python -c "from pipelines.adapters.platform.airflow_home import PRELOAD; print(PRELOAD)" \
        > /opt/preload/airflow_local_settings.py

FROM python:3.11-slim-bookworm
# Airflow refuses a user without a name. All it may write is its state; the rest belongs to root.
RUN useradd --no-log-init --uid 50000 --gid 0 --create-home headframe \
    && install --directory --owner=50000 --group=0 --mode=0770 \
        /opt/airflow /var/lib/headframe /var/lib/mlflow
# Code and environment belong to root: the service user can read and run them, not change them.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/headframe /opt/headframe
COPY --from=build /opt/preload /opt/preload
# One thread per numeric library and no spinning: a machine's cores are shared by parallel tasks.
# Caches go to /tmp, since the file system of a service is read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/preload \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    OMP_WAIT_POLICY=PASSIVE \
    AIRFLOW_HOME=/opt/airflow \
    HEADFRAME_HOME=/var/lib/headframe \
    HEADFRAME_DAGS=/opt/headframe/dags \
    HEADFRAME_EXPECTATIONS=/opt/headframe/expectations \
    XDG_CACHE_HOME=/tmp \
    MPLCONFIGDIR=/tmp \
    GIT_PYTHON_REFRESH=quiet \
    DO_NOT_TRACK=1 \
    GX_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
WORKDIR /opt/headframe
USER 50000:0
CMD ["headframe", "--help"]

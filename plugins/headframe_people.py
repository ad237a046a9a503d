"""People in Airflow's API: FAB's users with a role, and their ids, for the platform's own user.

An approval is put to users by their ids, which under FAB are numbers that Airflow's own API does not
tell. Only Airflow's API server has them: tasks and workers have no database.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from pipelines.adapters.platform.users import PLATFORM

PREFIX = "/headframe"


async def people(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    """Answer a request; what answers is made by the first one, which only the API server gets."""
    await _api()(scope, receive, send)


class HeadframePeople(AirflowPlugin):  # type: ignore[misc]  # Airflow is untyped here
    """Registers the API."""

    name = "headframe_people"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"name": "Headframe people", "app": people, "url_prefix": PREFIX}
    ]


@cache
def _api() -> Any:  # noqa: ANN401 - a FastAPI application
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, FastAPI, HTTPException

    asking = Depends(get_user)

    def holders(role: str, user: Any = asking) -> dict[str, list[dict[str, str]]]:  # noqa: ANN401
        """Return id, name and mail of the active users with a role, their groups' roles included."""
        if user.get_name() != PLATFORM:
            raise HTTPException(403, f"Only the user {PLATFORM} may ask who has a role.")
        return {"people": _holders(role)}

    api = FastAPI(title="Headframe people", openapi_url=None, docs_url=None, redoc_url=None)
    api.add_api_route("/people", holders, methods=["GET"])
    return api


def _holders(role: str) -> list[dict[str, str]]:
    from airflow.providers.fab.auth_manager.models import User
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        users = session.scalars(select(User).where(User.active).order_by(User.id)).unique()
        return [
            {"id": user.get_id(), "name": user.get_name(), "mail": user.email or ""}
            for user in users
            if role in {held.name for held in (*user.roles, *_of_groups(user))}
        ]


def _of_groups(user: Any) -> list[Any]:  # noqa: ANN401 - an untyped model
    return [held for group in user.groups for held in group.roles]

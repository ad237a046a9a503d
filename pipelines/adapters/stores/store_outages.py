"""Store outages: what a library says about a failed request, in our words and without secrets."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import HeadframeError, Problem, ServiceUnavailable, SettingsError

REFUSALS = frozenset({"301", "400", "401", "403", "404", "501"})
"""HTTP statuses that waiting does not change: a wrong bucket, region, address or credential."""

REQUEST = "Error performing"
"""What the libraries' texts about a failed request hold, however they are wrapped."""

NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})
"""What stores call a missing bucket, as against a missing object."""


@contextmanager
def outages(root: str) -> Iterator[None]:
    """Turn an obstore error about the store ``root`` into ours, without URL, header or signature.

    ServiceUnavailable where waiting may help, SettingsError where the store refuses us. What an
    answer means (FileNotFoundError, AlreadyExistsError, NotSupportedError) passes through.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError

    # The library's text may hold a signed URL, so it is neither shown nor chained.
    try:
        yield
    except (AlreadyExistsError, NotSupportedError):
        raise
    except FileNotFoundError as error:
        if _code(str(error)) in NO_BUCKET:
            raise outage(root, str(error)) from None
        raise FileNotFoundError(f"no such object in {root}") from None
    except BaseError as error:
        raise outage(root, str(error)) from None


def outage(root: str, text: str) -> HeadframeError:
    """Return the error that stands for a library's ``text`` about a request to the store."""
    status = _status(text)
    answered = f"status {status} {_code(text)}".strip()
    if status in REFUSALS:
        return SettingsError(
            Problem(
                where=f"object store {root}",
                expected="a store that takes our requests",
                found=answered,
                fix="Check the bucket, and the address and credentials in the environment.",
            )
        )
    return ServiceUnavailable(
        Problem(
            where=f"object store {root}",
            expected=f"an answer{_host(text)}",
            found=answered if status else "none, or a broken one",
            fix="Nothing was lost; run the stage again once the store answers.",
        )
    )


def _status(text: str) -> str:
    found = re.search(r"status code\W.*?\b([1-5]\d\d)\b", text, re.DOTALL)
    return found.group(1) if found else ""


def _code(text: str) -> str:
    """Return the store's own word for what is wrong, such as NoSuchBucket."""
    found = re.search(r"<Code>(\w{1,60})</Code>", text)
    return found.group(1) if found else ""


def _host(text: str) -> str:
    found = re.search(r"https?://([\w.-]+(?::\d+)?)(?=[/\s])", text)
    return f" of {found.group(1)}" if found else ""

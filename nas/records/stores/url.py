"""URLs of results stores: which texts are some, the file that one may name, and passwords left out."""

from __future__ import annotations

import re

_URL = re.compile(r"(postgres(?:ql)?://[^/?]*)(/[^?]*)?(\?.*)?", re.DOTALL)
_USER_S = re.compile(r"(postgres(?:ql)?://[^:@/\s]*):(?:[^@/]*|\S*)@(?:\S*@)?")  # whatever the password holds
_OTHERS = re.compile(r"\b((?!https?:)\w[\w+.-]*://[^:@/\s]*):\S*@")  # such as that of --storage, which may hold slashes
_WEB = re.compile(r"(https?://[^:@/\s]*):[^@/\s]*@")  # whose path may hold an @
_KEY_S = re.compile(r"([?&](?:ssl)?password=)[^&\s]*")


def is_url(text: str) -> bool:
    """Whether the text names a results store, and not a folder or a file."""
    return text.startswith(("postgresql://", "postgres://"))


def split_file(url: str) -> tuple[str, str | None]:
    """The store's own URL, and the log that is named behind its database, such as `evaluate.csv`; None where there is none."""
    server, path, query = _parts(url)
    database, slash, name = path.rpartition("/")
    if not name.endswith(".csv"):
        return url, None
    return server + (database or slash) + query, name


def with_file(url: str, name: str) -> str:
    """The URL of a log of the store."""
    server, path, query = _parts(url)
    return f"{server}{path.rstrip('/') or '/'}/{name}{query}"


def redacted(text: str) -> str:
    """The text without the passwords of the URLs in it, to be shown or written."""
    return _KEY_S.sub(r"\1", _WEB.sub(r"\1@", _OTHERS.sub(r"\1@", _USER_S.sub(r"\1@", text))))


def _parts(url: str) -> tuple[str, str, str]:
    found = _URL.fullmatch(url)
    assert found, "asked of URLs alone"
    server, path, query = found.groups(default="")
    return server, path, query

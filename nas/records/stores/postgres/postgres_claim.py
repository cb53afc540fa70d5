"""A claim by a session advisory lock: the server gives it up with the connection, however the process ends."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from nas.notice import notice
from nas.records.claim import Claim
from nas.records.run_lock import RunLock
from nas.records.stores.postgres.session import Session

LONGEST_PAUSE = 0.5  # seconds between two looks at a claim that is waited for
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}  # of file systems that lock nothing


class PostgresClaim(Claim):
    """A run is claimed by its name in the store, and its folder by a lock file among those that share the folder, so that a
    process with another store leaves it alone as well."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self._folder, self._here = session, folder, RunLock(folder)
        self._is_ours = False

    def try_take(self) -> bool:
        if not self._session.claim(self._folder.name):
            return False
        try:
            self._is_ours = self._try_folder()
        finally:
            if not self._is_ours:
                self._session.give_up(self._folder.name)
        return self._is_ours

    def take(self) -> None:
        pause, told = 0.02, False
        while not self.try_take():
            if not told and (holder := self.holder()):
                notice(f"waiting for {holder}, which has the run {self._folder}")
                told = True
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)

    def release(self) -> None:
        if self._is_ours:
            self._is_ours = False
            self._here.release()
            self._session.give_up(self._folder.name)

    def is_left(self) -> bool:
        return self._here.is_left()

    def holder(self) -> str | None:
        return self._session.holder(self._folder.name) or self._here.holder()

    def _try_folder(self) -> bool:
        try:
            return self._here.try_take()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return True

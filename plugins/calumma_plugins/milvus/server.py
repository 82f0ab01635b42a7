"""Where a collection lives: a Milvus cluster, or Milvus Lite in this process. What Milvus raises becomes a sentence."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

from calumma.errors import CalummaError, ComponentError
from calumma_plugins.milvus.options import MilvusOptions

DATABASE = "rows.db"  # a folder; the ending tells pymilvus to start Milvus Lite
for _name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # they print, with a traceback, what they raise as well


class Server:
    """A connection that is made when it is first asked for.

    Milvus Lite answers any program of this machine that finds its port, as long as this process runs.

    Attributes:
        uri: of a cluster; None for Milvus Lite.
        unsaved: collections of a cluster that no saved index names: they go with this object.
    """

    def __init__(self, options: MilvusOptions) -> None:
        self.options, self.uri = options, options.uri
        self.unsaved: set[str] = set()
        self._client: list[Any] = []  # one, or none yet
        self._homes: list[Path] = []
        self._closing = weakref.finalize(self, _closed, self._client, self._homes, self.unsaved)

    @property
    def name(self) -> str:
        """Who answers, for sentences."""
        return "Milvus Lite" if self.uri is None else f"Milvus at {self.uri}"

    @property
    def home(self) -> Path:
        """The temporary folder that Milvus Lite keeps its files in."""
        if not self._homes:
            self._homes.append(Path(tempfile.mkdtemp(prefix="calumma-milvus-")))
        return self._homes[0] / DATABASE

    def client(self) -> Any:
        """The client. Raises ComponentError: nobody answers there, or the token is not set."""
        if not self._closing.alive:
            raise ComponentError(f"The connection to {self.name} was closed.", "Open the index again.")
        if not self._client:
            with self.answering():
                if self.uri is None:
                    self._client.append(MilvusClient(str(self.home)))
                else:
                    more = {"token": self._token(), "db_name": self.options.database, "timeout": self.options.timeout}
                    self._client.append(MilvusClient(self.uri, **more))
        return self._client[0]

    def _token(self) -> str:
        name = self.options.token_variable
        if name is None:
            return ""
        if not os.environ.get(name):
            raise ComponentError(
                f"The environment variable {name}, which should hold the token of {self.name}, is not set.",
                f"Set it: export {name}=USER:PASSWORD",
            )
        return os.environ[name]

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While it is open, what Milvus raises becomes a ComponentError."""
        try:
            yield
        except CalummaError:
            raise
        except Exception as error:  # of Milvus, of gRPC, of files
            said = " ".join(str(getattr(error, "message", "") or error).split())[:300].rstrip(".")
            fix = "Build the index again." if self.uri is None else "See that it runs, and that `uri` and the token are right."
            raise ComponentError(f"{self.name} does not answer as it should: {said}.", fix) from error

    def pause(self) -> None:
        """Has Milvus Lite write everything and let go of its files, until it is asked again."""
        _stopped(self._client, self._homes)

    def close(self) -> None:
        """Frees everything; it does not answer again."""
        self._closing()


def _stopped(client: list[Any], homes: list[Path]) -> None:
    while client:
        with suppress(Exception):  # nothing is lost where nobody answers any more
            client.pop().close()
    for home in homes:
        server_manager_instance.release_server(str(home / DATABASE))


def _closed(client: list[Any], homes: list[Path], unsaved: set[str]) -> None:
    with suppress(Exception):
        for name in unsaved if client else ():
            client[0].drop_collection(name, timeout=10)
    _stopped(client, homes)
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)

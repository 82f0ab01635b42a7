"""The whole plugin surface: hooks that offer parts, and hooks that observe. Each docstring is a working example."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from calumma.extension.specs import ComponentSpec, KindSpec

if TYPE_CHECKING:
    from calumma.documents import Document
    from calumma.interfaces import Retrieved
    from calumma.pipeline import Pipeline, Result

PROJECT = "calumma"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def calumma_components() -> Iterable[ComponentSpec]:
    """Offers components.

    >>> @hookimpl
    ... def calumma_components():
    ...     yield ComponentSpec("retriever", "mine/first", "Returns the first documents.", "mine:First", "mine:FirstOptions")
    """
    return ()


@hookspec
def calumma_kinds() -> Iterable[KindSpec]:
    """Offers new kinds of component.

    >>> @hookimpl
    ... def calumma_kinds():
    ...     yield KindSpec("watermark", "Marks finished pictures.", "mine:Watermark")
    """
    return ()


@hookspec
def calumma_pipeline_assembled(pipeline: Pipeline) -> None:
    """Observes a pipeline that was just put together; nothing is loaded yet.

    >>> @hookimpl
    ... def calumma_pipeline_assembled(pipeline):
    ...     print(pipeline.retriever)
    """


@hookspec
def calumma_documents_retrieved(document: Document, retrieved: list[Retrieved]) -> None:
    """Observes what was retrieved for a document.

    >>> @hookimpl
    ... def calumma_documents_retrieved(document, retrieved):
    ...     print(document.text, [one.document.id for one in retrieved])
    """


@hookspec
def calumma_generation_started(task: str, document: Document, n: int) -> None:
    """Observes the start of a request: the document with its hole, to be filled n times.

    >>> @hookimpl
    ... def calumma_generation_started(task, document, n):
    ...     print(f"{task}: {n} x {document.text}")
    """


@hookspec
def calumma_generation_finished(task: str, result: Result) -> None:
    """Observes the result of a request.

    >>> @hookimpl
    ... def calumma_generation_finished(task, result):
    ...     print(task, result.timings)
    """

"""The contract of retrievers over the engines that are not indexes of vectors in memory: words, ranks, a disk, a server."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from typing import Any, ClassVar

from milvus_lite.adapter.grpc.server import start_server_in_thread

from calumma.contracts import RetrieverContract


class TestBM25(RetrieverContract):
    component = "bm25/text"


class TestBM25Plus(RetrieverContract):
    component = "bm25/text"
    options: ClassVar[dict[str, Any]] = {"method": "bm25+", "stopwords": "english"}


class TestRRF(RetrieverContract):
    component = "fusion/rrf"


class TestRRFOfVectorsAndWords(RetrieverContract):
    component = "fusion/rrf"
    options: ClassVar[dict[str, Any]] = {
        "retrievers": ["exact/flat", "bm25/text"],
        "weights": [0.3, 0.7],
        "k_constant": 0,  # a row that is first by its words is first, though its vector be that of others too
    }


class TestLanceThatScans(RetrieverContract):
    component = "lance/ivf"


class TestLanceIVF(RetrieverContract):
    component = "lance/ivf"
    options: ClassVar[dict[str, Any]] = {"index_from": 256, "num_partitions": 8, "num_sub_vectors": 8, "nprobes": 6}
    recall = 0.8


class TestLanceHNSW(RetrieverContract):
    component = "lance/ivf"
    options: ClassVar[dict[str, Any]] = {"index": "IVF_HNSW_SQ", "index_from": 256, "num_partitions": 8, "nprobes": 6}
    recall = 0.8


class TestMilvusLite(RetrieverContract):
    component = "milvus/collection"


class TestMilvusIVF(RetrieverContract):
    component = "milvus/collection"
    options: ClassVar[dict[str, Any]] = {"index": "IVF_FLAT", "nlist": 4, "nprobe": 3}
    recall = 0.8


@functools.cache
def served() -> str:
    """The address of a Milvus that runs for these tests: Milvus Lite, which answers as a cluster does."""
    folder = tempfile.mkdtemp(prefix="calumma-tests-milvus-")
    server, database, port = start_server_in_thread(folder)
    atexit.register(lambda: (server.stop(0), database.close(), shutil.rmtree(folder, ignore_errors=True)))
    return f"http://127.0.0.1:{port}"


class TestMilvusByAddress(RetrieverContract):
    component = "milvus/collection"

    def small(self) -> dict[str, Any]:
        return {"uri": served(), "index": "FLAT"}

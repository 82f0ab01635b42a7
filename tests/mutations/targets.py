"""Which of our plugins are mutated, and the contract tests that must notice."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from calumma.contracts import Contract

ROOT = Path(__file__).resolve().parents[2] / "plugins"

TARGETS = {
    "exact": ["retriever:TestExactFlat", "retriever:TestExactFlatInBlocks"],
    "none": ["retriever:TestNone"],
    "selection": [
        "selection:TestCM3Leon",
        "selection:TestCM3LeonThatForgetsWords",
        "selection:TestCM3LeonByText",
        "selection:TestCM3LeonWithoutCaps",
        "selection:TestCM3LeonAtRandom",
        "selection:TestCM3LeonThatFilters",
        "selection:TestMMR",
        "selection:TestMMRByDiversityAlone",
        "selection:TestTop",
        "selection:TestRandom",
    ],
    "sampling": [
        "rule:TestGuidance",
        "rule:TestGuidanceThatIsOff",
        "rule:TestTemperature",
        "rule:TestGreedy",
        "rule:TestTopK",
        "rule:TestTopP",
        "rule:TestMinP",
        "rule:TestScheduledGuidance",
        "rule:TestScheduledGuidanceOfAnInterval",
        "rule:TestEditGuidance",
        "rule:TestEditGuidanceByTheTextAlone",
        "rule:TestContrastive",
        "rule:TestCDK",
        "sampler:TestNucleus",
        "sampler:TestNucleusGreedy",
        "sampler:TestJacobi",
        "sampler:TestJacobiUncoupled",
        "sampler:TestMixture",
        "sampler:TestMixtureOfLoops",
    ],
    "hnswlib": ["retriever:TestHNSW"],
    "faiss": ["retriever:TestFaissFlat", "retriever:TestFaissHNSW", "retriever:TestFaissIVF", "retriever:TestFaissCompressed"],
    "lance": [f"retriever_contract_of_others:TestLance{name}" for name in ("ThatScans", "IVF", "HNSW")],
    "milvus": [f"retriever_contract_of_others:TestMilvus{name}" for name in ("Lite", "IVF", "ByAddress")],
    "bm25": ["retriever_contract_of_others:TestBM25", "retriever_contract_of_others:TestBM25Plus"],
    "fusion": ["retriever_contract_of_others:TestRRF", "retriever_contract_of_others:TestRRFOfVectorsAndWords"],
    "tokenizers": ["text_tokenizer:TestBPE"],
    "cm3leon": ["decoder:TestCM3Leon"],
    "taming": ["image_tokenizer:TestVQGAN", "image_tokenizer:TestGumbelVQGAN"],
    "openclip": ["embedder:TestCLIP"],
    "transformers": [
        "decoder:TestChameleon",
        "decoder:TestChameleonOverItsOwnTokenizers",
        "image_tokenizer:TestChameleonVQ",
        "text_tokenizer:TestChameleonTokenizer",
    ],
}

OTHER_TESTS = {
    "exact": ["plugins/test_retrievers.py", "security/test_indexes.py"],
    "none": ["plugins/test_retrievers.py"],
    "selection": ["plugins/test_selection.py", "plugins/test_selection_others.py"],
    "sampling": [
        "decoding/test_rules.py",
        "decoding/test_sampler.py",
        "decoding/test_jacobi.py",
        "decoding/test_mixture.py",
    ],
    "hnswlib": ["plugins/test_retrievers.py", "security/test_indexes.py"],
    "faiss": [
        "plugins/test_retrievers.py",
        "plugins/test_retrievers_faiss.py",
        "plugins/test_retrievers_engines.py",
        "security/test_indexes.py",
    ],
    "lance": ["plugins/test_lance.py"],
    "milvus": ["plugins/test_milvus.py"],
    "bm25": ["plugins/test_bm25.py"],
    "fusion": ["plugins/test_fusion.py"],
    "tokenizers": ["plugins/test_tokenizers.py", "plugins/test_tokenizer_files.py"],
    "cm3leon": [
        "decoding/test_decoder.py",
        "decoding/test_model.py",
        "decoding/test_engine.py",
        "decoding/test_packing.py",
    ],
    "taming": [
        "plugins/test_taming.py",
        "plugins/test_taming_files.py",
        "plugins/test_taming_public.py",
    ],
    "openclip": ["plugins/test_openclip.py", "plugins/test_openclip_files.py"],
    "transformers": [
        "plugins/test_transformers.py",
        "plugins/test_transformers_files.py",
        "plugins/test_transformers_layout.py",
        "plugins/test_transformers_pipeline.py",
        "plugins/test_transformers_vq.py",
    ],
}


def other_tests_of(plugin: str) -> list[Path]:
    """Tests of what is a plugin's own and no rule of a contract: what a published recipe says, what another library answers."""
    tests = Path(__file__).resolve().parents[1]
    return [tests / name for name in (*OTHER_TESTS[plugin], "plugins/test_registration.py")]


def files_of(plugin: str) -> list[Path]:
    """The source files of a plugin; not its example, which is made for the contract and is no part of what it checks."""
    folder = ROOT / "calumma_plugins" / plugin
    return [file for file in sorted(folder.rglob("*.py")) if file.name != "example.py"]


def contracts_of(plugin: str) -> list[type[Contract[Any]]]:
    """The contract tests of a plugin's components, as `make test` runs them."""
    found = []
    for target in TARGETS[plugin]:
        kind, _, name = target.partition(":")
        module = kind if "_contract" in kind else f"{kind}_contract"
        found.append(getattr(importlib.import_module(f"tests.contracts.test_{module}"), name))
    return found

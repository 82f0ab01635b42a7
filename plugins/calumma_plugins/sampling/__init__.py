"""Sampling one id at a time, and the rules it is made of: guidance, temperature, top-k, nucleus."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl

_RULES = {
    "guidance": ("Guidance", "Classifier-free guidance: away from what the model says without the prompt.", "2207.12598"),
    "temperature": ("Temperature", "Sharper below 1, flatter above, greedy at 0.", ""),
    "top-k": ("TopK", "Keeps the k likeliest ids.", "1805.04833"),
    "top-p": ("TopP", "Nucleus: keeps the smallest set of ids that holds a mass of p.", "1904.09751"),
}


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="sampler",
        name="sampling/nucleus",
        summary="Draws id by id under guidance, temperature, top-k and top-p, apart for pictures and texts.",
        target="calumma_plugins.sampling.nucleus:NucleusSampler",
        options="calumma_plugins.sampling.options:NucleusOptions",
        requires=("torch",),
        install="calumma",
        capabilities={"streams": "conditional,unconditional"},
        links={"nucleus": "https://arxiv.org/abs/1904.09751", "guidance": "https://arxiv.org/abs/2207.12598"},
    )
    for name, (cls, summary, paper) in _RULES.items():
        yield ComponentSpec(
            kind="rule",
            name=f"sampling/{name}",
            summary=summary,
            target=f"calumma_plugins.sampling.rules:{cls}",
            options=f"calumma_plugins.sampling.options:{cls}Options",
            requires=("torch",),
            install="calumma",
            links={"paper": f"https://arxiv.org/abs/{paper}"} if paper else {},
        )

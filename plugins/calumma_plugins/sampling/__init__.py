"""Samplers that draw one id at a time, several at once, or by turns; and the rules: guidance, contrast, truncation."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl

_RULES = {
    "guidance": (
        "guidance:Guidance",
        "Classifier-free guidance: away from what the model says without the prompt.",
        "2207.12598",
    ),
    "scheduled-guidance": (
        "guidance:ScheduledGuidance",
        "Guidance whose weight moves along the hole, or that guides a part of it only.",
        "2404.13040",
    ),
    "edit-guidance": ("guidance:EditGuidance", "Two weights for an edit: the picture's and the instruction's.", "2211.09800"),
    "contrastive": (
        "contrast:Contrastive",
        "Contrastive decoding against the model without the prompt, and CD-K.",
        "2309.02591",
    ),
    "temperature": ("rules:Temperature", "Sharper below 1, flatter above, greedy at 0.", ""),
    "top-k": ("rules:TopK", "Keeps the k likeliest ids.", "1805.04833"),
    "top-p": ("rules:TopP", "Nucleus: keeps the smallest set of ids that holds a mass of p.", "1904.09751"),
    "min-p": ("rules:MinP", "Keeps the ids that are at least a share as likely as the likeliest.", "2407.01082"),
}
_SAMPLERS = {
    "nucleus": (
        "nucleus:NucleusSampler",
        "Draws id by id under guidance, temperature, top-k and top-p, apart for pictures and texts.",
        {"nucleus": "1904.09751", "guidance": "2207.12598"},
    ),
    "jacobi": (
        "jacobi:JacobiSampler",
        "Speculative Jacobi decoding: as nucleus, exactly as likely, in fewer passes of the decoder.",
        {"paper": "2410.01699", "coupled": "2510.24211"},
    ),
    "mixture": (
        "mixture:MixtureSampler",
        "Several samplers that share the samples: half nucleus and half CD-K, as CM3Leon draws many.",
        {"paper": "2309.02591"},
    ),
}
_PAPERS = "https://arxiv.org/abs/"


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    for name, (target, summary, papers) in _SAMPLERS.items():
        cls = target.split(":")[1]
        yield ComponentSpec(
            kind="sampler",
            name=f"sampling/{name}",
            summary=summary,
            target=f"calumma_plugins.sampling.{target}",
            options=f"calumma_plugins.sampling.options:{cls.removesuffix('Sampler')}Options",
            requires=("torch",),
            install="calumma",
            capabilities={"streams": "conditional,unconditional"},
            links={what: _PAPERS + paper for what, paper in papers.items()},
        )
    for name, (target, summary, paper) in _RULES.items():
        yield ComponentSpec(
            kind="rule",
            name=f"sampling/{name}",
            summary=summary,
            target=f"calumma_plugins.sampling.{target}",
            options=f"calumma_plugins.sampling.options:{target.split(':')[1]}Options",
            requires=("torch",),
            install="calumma",
            links={"paper": _PAPERS + paper} if paper else {},
        )

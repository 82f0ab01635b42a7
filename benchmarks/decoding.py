"""Tokens a second of our decoder and sampler against `transformers.generate` with a Llama of as many parameters.

    python benchmarks/decoding.py --rounds 5 --out benchmarks/results/decoding.json

42 M parameters on either side (8 layers, width 512, 8 heads, a vocabulary of 8,192), 256 new ids, nucleus sampling with
p = 0.9, batch 1 and 8, with and without guidance 3. Each runs at its best settings on a CPU: ours with its weights packed for
oneDNN, as always there, and without `compile`; the peer with its static cache and `torch.compile`. One process, interleaved,
a warm-up of each first; medians and their ratio. `--only growth` measures how the time of an id depends on its position, the
batch, and samples that share a prefix.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peak import peak_mib

from calumma.documents import Constraint, IntArray, Modality
from calumma.interfaces import Dtype, Noise
from calumma.pipeline.estimate import measured
from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.decoder import CM3LeonDecoder
from calumma_plugins.cm3leon.options import CM3LeonDecoderOptions
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import NucleusOptions

ROOT = Path(__file__).parent.parent
VOCABULARY, CONTEXT, PROMPT, NEW, GUIDANCE, TOP_P = 8192, 512, 16, 256, 3.0, 0.9
SIZES = {"layers": 8, "width": 512, "heads": 8}
FFN = 6  # ours has two matrices where a Llama has three of 2,048: 3,072 makes them equal
CASES = {"batch 1": (1, False), "batch 1 guided": (1, True), "batch 8": (8, False), "batch 8 guided": (8, True)}
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")

Run = Callable[[], int]


class Ids(Constraint):
    """Exactly so many ids, any of the whole vocabulary."""

    modality: Modality = "image"

    def __init__(self, vocabulary: int) -> None:
        self.capacity = NEW
        self._any = np.arange(vocabulary)

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        return self._any if offset < self.capacity else None


def ours(dtype: Dtype, *, quantize: bool = False) -> Callable[[int, bool], Run]:
    """(batch, guided) to a run that draws 256 ids a sample and says how many in all."""
    specials = ModelConfig(text_size=1, codebook_size=1, **SIZES).vocabulary.size - 2
    sizes = {**SIZES, "ffn": FFN, "context": CONTEXT, "text_size": 1, "codebook_size": VOCABULARY - specials - 1}
    options = CM3LeonDecoderOptions(quantize="int8" if quantize else None, tied=False, init_std=0.02, **sizes)
    decoder = CM3LeonDecoder(options)
    decoder.warm_up("cpu", dtype)

    def made(batch: int, guided: bool) -> Run:
        sampler = NucleusSampler(NucleusOptions(top_p=TOP_P, guidance=GUIDANCE if guided else 1.0))
        rules, constraint = sampler.rules("image"), Ids(VOCABULARY)
        prompt = np.arange(PROMPT)
        streams = {"conditional": [prompt] * batch, "unconditional": [prompt[:1]] * batch}

        def run() -> int:
            for last in sampler.fill(decoder, streams, [constraint] * batch, rules, Noise(0), range(batch)):  # noqa: B007
                pass
            return sum(len(ids) for ids in last.ids)

        return run

    return made


def peer(dtype: Dtype) -> Callable[[int, bool], Run]:
    """The same by transformers: a Llama with a static cache, compiled."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=None,
        bos_token_id=0,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).eval().to(getattr(torch, dtype))
    model.forward = torch.compile(model.forward, dynamic=None)

    def made(batch: int, guided: bool) -> Run:
        prompt = torch.arange(PROMPT)[None].expand(batch, -1)
        more: dict[str, Any] = {"guidance_scale": GUIDANCE} if guided else {}
        more |= {"cache_implementation": "static"}

        def run() -> int:
            with torch.inference_mode():
                ids = model.generate(
                    prompt,
                    attention_mask=torch.ones_like(prompt),
                    max_new_tokens=NEW,
                    min_new_tokens=NEW,
                    do_sample=True,
                    top_p=TOP_P,
                    top_k=0,
                    **more,
                )
            return int((ids.shape[1] - PROMPT) * batch)

        return run

    return made


def measure(rounds: int) -> dict[str, Any]:
    """Tokens a second of every case, in float32 and bfloat16, ours and the peer's in turn."""
    found: dict[str, Any] = {}
    for dtype in DTYPES:
        sides = {"ours": ours(dtype), "peer": peer(dtype)}
        bandwidth = measured("cpu", dtype).bandwidth
        for name, (batch, guided) in CASES.items():
            runs = {side: made(batch, guided) for side, made in sides.items()}
            times: dict[str, list[float]] = {side: [] for side in runs}
            for round in range(rounds + 1):
                for side in list(runs)[:: 1 if round % 2 else -1]:
                    begun = time.perf_counter()
                    count = runs[side]()
                    times[side].append((time.perf_counter() - begun) / count)
            rates = {side: 1 / statistics.median(one[1:]) for side, one in times.items()}
            ratio = statistics.median(b / a for a, b in zip(times["ours"][1:], times["peer"][1:], strict=True))
            weights = 42e6 * (4 if dtype == "float32" else 2)
            found.setdefault(dtype, {})[name] = {
                **{f"{side}_tokens_per_s": round_to(rate) for side, rate in rates.items()},
                "ratio": round_to(ratio),
                "share_of_bandwidth": round_to(rates["ours"] / batch * weights / bandwidth),
            }
            print(
                f"{dtype:<9} {name:<15} ours {rates['ours']:8.1f}  transformers {rates['peer']:8.1f}  {ratio:.2f} x", flush=True
            )
        found[dtype]["bandwidth_gb_s"] = round_to(bandwidth / 1e9)
    return found


def int8(rounds: int) -> dict[str, float]:
    """Ours with 8-bit weights, activations in bfloat16: apart, for the peer has none."""
    made = ours("bfloat16", quantize=True)
    rates = {}
    for name, (batch, guided) in CASES.items():
        run, times = made(batch, guided), []
        for _ in range(rounds + 1):
            begun = time.perf_counter()
            count = run()
            times.append((time.perf_counter() - begun) / count)
        rates[name] = round_to(1 / statistics.median(times[1:]))
        print(f"int8      {name:<15} ours {rates[name]:8.1f}", flush=True)
    return rates


def growth() -> dict[str, Any]:
    """Milliseconds of one more id against position and batch, and of the start against samples that share their prompt."""
    sizes = {**SIZES, "context": 4096, "text_size": 1, "codebook_size": VOCABULARY}
    decoder = CM3LeonDecoder(CM3LeonDecoderOptions(**sizes))
    decoder.warm_up()
    draw = np.random.default_rng(0)

    def step(rows: int, length: int) -> float:
        state = decoder.start([draw.integers(0, VOCABULARY, length)] * rows, length + 64)
        ids, valid, times = torch.zeros(rows, 1, dtype=torch.int64), torch.ones(rows, dtype=torch.int64), []
        for _ in range(32):
            begun = time.perf_counter()
            decoder.append(state, ids, valid)
            times.append(time.perf_counter() - begun)
        return round_to(statistics.median(times) * 1e3)

    def start(samples: int) -> float:
        times = []
        for _ in range(5):
            prompt = draw.integers(0, VOCABULARY, 1024)
            begun = time.perf_counter()
            decoder.start([prompt] * samples, 1088)
            times.append(time.perf_counter() - begun)
        return round_to(statistics.median(times) * 1e3)

    return {
        "step_ms_by_position": {length: step(1, length) for length in (64, 256, 1024, 2048, 3072)},
        "step_ms_by_batch": {rows: step(rows, 64) for rows in (1, 2, 4, 8, 16)},
        "start_ms_by_samples_of_one_prompt_of_1024": {samples: start(samples) for samples in (1, 2, 4, 8)},
    }


def peak(side: str, dtype: Dtype) -> float:
    """Peak resident MiB of a process of its own that runs batch 8 guided once."""
    words = [sys.executable, __file__, "--peak", side, dtype]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return round_to(float(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "decoding.json")
    parser.add_argument("--only", nargs="*", default=["speed", "int8", "growth", "memory"], help="parts to measure anew")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        side, dtype = given.peak
        {"ours": ours, "peer": peer}[side](dtype)(8, True)()
        print(peak_mib())
        return
    report: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    report |= {
        "what": "tokens a second of our decoder and sampler, and of transformers.generate with a Llama of as many parameters",
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "settings": "ours: weights packed for oneDNN, not compiled, no freezing; transformers: static cache, torch.compile",
    }
    parts: dict[str, Callable[[], Any]] = {
        "speed": partial(measure, given.rounds),
        "int8": partial(int8, given.rounds),
        "growth": growth,
        "memory": lambda: {dtype: {side: peak(side, dtype) for side in ("ours", "peer")} for dtype in DTYPES},
    }
    for name in given.only:
        report[name] = parts[name]()
        unfinished = given.out.with_suffix(".part")
        unfinished.write_text(json.dumps(report, indent=2) + "\n")
        unfinished.replace(given.out)
    print(json.dumps({name: report[name] for name in ("growth", "memory") if name in report}, indent=2))


def round_to(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()

"""Which sampler setting draws best with the shipped decoder: the choice behind `sampler.nucleus` of registry.yaml.

Prints, per setting and with 0 and 2 documents, the share of drawings whose nearest of 100 is the right one, on captions
drawn by another seed than those of measure.py.
"""

from __future__ import annotations

import argparse

import numpy as np

import calumma
from measure import Extractor, _picture, choose, score

SETTINGS: list[dict[str, float]] = [
    {"guidance": 1.0, "temperature": 0.3},
    {"guidance": 1.0, "temperature": 0.6},
    {"guidance": 1.5, "temperature": 0.4},
    {"guidance": 1.5, "temperature": 0.7, "top_p": 0.7},
    {"guidance": 2.0, "temperature": 0.3},
    {"guidance": 3.0, "temperature": 0.3},
    {"guidance": 3.0, "temperature": 1.0},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--registry", default="registry.yaml")
    parser.add_argument("--drawings", type=int, default=150)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    extract = Extractor()
    with calumma.load(arguments.registry) as pipeline:
        assert pipeline.bank is not None
        examples = choose(pipeline.bank, None, arguments.drawings, np.random.default_rng(arguments.seed))
        keys = sorted({key for example in examples for key in example.gallery})
        gallery = dict(zip(keys, extract([_picture(one) for one in pipeline.bank.documents(keys)]), strict=True))
    for documents in (0, 2):
        for setting in SETTINGS:
            with calumma.load(arguments.registry, set={f"sampler.{k}": v for k, v in setting.items()}) as drawer:
                retrieved: list[list] | None = [[] for _ in examples] if documents == 0 else None
                results = drawer.generate_many([one.caption for one in examples], retrieved=retrieved, batch=75)
            found = score(examples, extract([np.asarray(one.images[0]) for one in results]), gallery)
            print(f"{documents} documents, {setting}: {100 * found['share']:.1f} % of {found['n']}", flush=True)


if __name__ == "__main__":
    main()

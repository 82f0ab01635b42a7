"""What one does with a component of each kind, in a few lines of Python: the examples of the reference pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """Code that uses `part`, a warmed-up component, and what it prints (`...` stands for anything)."""

    imports: str
    code: str
    prints: str


_ARRAYS = "import numpy as np\n\nimport calumma\n"
_TENSORS = "import torch\n\nimport calumma\n"

USES = {
    "image_tokenizer": Use(
        _TENSORS,
        """
pictures = torch.rand(1, 3, *part.resolution)  # [B, 3, H, W] in [0, 1]
ids = part.encode(pictures)
print(part.codebook_size, tuple(ids.shape), tuple(part.decode(ids).shape))
""",
        "... (1, ..., ...) (1, 3, ..., ...)",
    ),
    "text_tokenizer": Use(
        "import calumma\n",
        """
ids = part.encode("a red apple, ünïcödé and all")
print(part.size, part.decode(ids))
""",
        "... a red apple, ünïcödé and all",
    ),
    "embedder": Use(
        _ARRAYS,
        """
texts = part.embed_texts(["a red apple", "a blue door"])
pictures = part.embed_images([np.zeros((64, 64, 3), np.uint8)])
print(texts.shape, pictures.shape, np.linalg.norm(texts, axis=1).round(3))
""",
        "(2, ...) (1, ...) [1. 1.]",
    ),
    "retriever": Use(
        _ARRAYS + "from calumma.interfaces import Entries, Query, normalised\n",
        """
vectors = normalised(np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32))
texts = [f"document number {i}" for i in range(100)]
if part.accepts:
    part.add(Entries(np.arange(100), vectors, texts))
hits = part.search([Query(vector=vectors[7], text="number 7")], k=3)
print(part.size, hits.keys, hits.counts)
""",
        "",
    ),
    "selection": Use(
        "import calumma\nfrom calumma.documents import tasks\nfrom calumma.interfaces import Noise\n",
        """
prompt = tasks.text_to_image("a red apple, noto style", grid=(16, 16))
print(part.candidates, part.queries(prompt, Noise(seed=0))["text"].text)
""",
        "... a red apple, noto style",
    ),
    "decoder": Use(
        _ARRAYS,
        """
state = part.start([np.array([5, 6, 7]), np.array([5])], capacity=8)  # two prompts of unequal length
print(part.context, state.lengths.tolist(), state.logits.shape[0])
""",
        "... [3, 1] 2",
    ),
    "sampler": Use(
        "import calumma\n",
        """
print([rule.id for rule in part.rules("image")])
""",
        "",
    ),
    "rule": Use(
        _TENSORS.replace("import torch\n", "import numpy as np\nimport torch\n"),
        """
logits = {name: torch.zeros(1, 4) for name in part.streams} | {"conditional": torch.tensor([[2.0, 1.0, 0.0, -1.0]])}
print(part(logits, rows=np.array([0]), positions=np.array([0])).softmax(-1))
""",
        "",
    ),
}

"""Classes of mutants that no contract can or should notice, told by what was changed; each is true for all that it matches."""

from __future__ import annotations

import re

REASONS: tuple[tuple[str, str], ...] = (
    (
        r"in `[\w ]+: [^`]*= Field\((?!.*min_length=(\d+), max_length=\1\b).*` `-?[\d.]+` becomes `-?[\d.]+`",
        "How large a bound or a default is: that there are bounds, and that they are kept, is a rule; "
        "where they lie is a choice",
    ),
    (
        r"module: in `_?(MAX|MOST|LONGEST|BLOCK|PRODUCTS|PROBES|ROWS|STEP)[A-Z0-9_]* = .*` `-?[\d.]+` becomes `-?[\d.]+`",
        "A constant of tuning or of protection: how much is done at once, or from which size on something is refused",
    ),
    (
        r"in `def warm_up\(self, device: Device='cpu', dtype: Dtype='float32'\).*` `'(cpu|float32)'` becomes",
        "The pipeline always says device and precision; what they are without it is a convenience",
    ),
    (r"torch\.backends\.cudnn|tf32", "A setting of GPUs: the tests have none"),
    (r"`encoding='utf-8'` becomes nothing", "The encoding that Python takes by itself on Linux and macOS"),
    (
        r"`frozen=True` becomes nothing|ConfigDict\((?!.*strict=).*frozen=True.*` `True` becomes `False`",
        "Nobody assigns to what is frozen",
    ),
    (
        r"`(fix|culprit|what|where|named|reason|damaged) = .*` `(?!['\"]\w+['\"])['\"].*['\"]` becomes `['\"].*X['\"]`",
        "Words that only people read",
    ),
    (
        r"ComponentSpec\(.*` `['\"][^'\"]* [^'\"]*['\"]` becomes `['\"].*X['\"]`$",
        "A spec's words: what must be true of them, the contract of specs holds",
    ),
)


def reason_of(mutant: str) -> str | None:
    """Why a mutant of this name may live, where that follows from the kind of change; None: somebody has to look."""
    return next((why for pattern, why in REASONS if re.search(pattern, mutant)), None)

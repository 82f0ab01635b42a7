"""What a Chameleon is made of: `config.json` of its folder, before any weights. Defaults are those of transformers, which
leaves out what equals them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from calumma.errors import AssetError
from calumma.files import read_text
from calumma_plugins.transformers.vocabulary import ChameleonVocabulary

GROUPS = 32  # channels are normalised in so many groups
MOST_BYTES = 2**27
FIX = "Name the folder of a Chameleon in the Hugging Face format."


class VQConfig(BaseModel):
    """`vq_config`: the image tokenizer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    embed_dim: int = Field(256, ge=1, le=65_536)
    num_embeddings: int = Field(8192, ge=2, le=1 << 24)
    double_latent: Literal[False] = False
    latent_channels: int = Field(256, ge=1, le=65_536)
    resolution: int = Field(512, ge=1, le=16_384)
    in_channels: Literal[3] = 3
    base_channels: int = Field(128, ge=1, le=65_536)
    channel_multiplier: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field((1, 1, 2, 2, 4), min_length=1, max_length=12)
    num_res_blocks: int = Field(2, ge=1, le=64)
    attn_resolutions: tuple[int, ...] | None = Field(None, max_length=12)
    attn_type: Literal["vanilla"] = "vanilla"
    dropout: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _widths_fit_groups(self) -> VQConfig:
        for width in (self.base_channels, *(self.base_channels * one for one in self.channel_multiplier)):
            if width % GROUPS:
                raise ValueError(f"a width of {width} is no multiple of {GROUPS}, in which it is normalised")
        if self.resolution % self.factor:
            raise ValueError(f"a resolution of {self.resolution} is no multiple of {self.factor}, the downsampling")
        return self

    @property
    def factor(self) -> int:
        """Pixels per code, along each side."""
        return int(2 ** (len(self.channel_multiplier) - 1))

    @property
    def least_codes(self) -> int:
        """Codes that a picture must have: 2 where groups of one channel are normalised, of which one value has no variance."""
        coarsest = [self.base_channels * one for one in (1, *self.channel_multiplier)[-2:]]
        return 2 if GROUPS in coarsest else 1


class Rotations(BaseModel):
    """`rope_parameters`: how positions turn queries and keys (arXiv:2104.09864)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rope_type: Literal["default", "linear"] = "default"
    rope_theta: float = Field(10_000.0, gt=0, le=1e9, allow_inf_nan=False)
    factor: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)


class ModelConfig(BaseModel):
    """The whole model. Names that are not here are not passed on to transformers: no code of a folder's is ever looked for."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model_type: Literal["chameleon"]
    vocab_size: int = Field(65_536, ge=8, le=1 << 24)
    hidden_size: int = Field(4096, ge=2, le=65_536)
    intermediate_size: int = Field(11_008, ge=1, le=1 << 20)
    num_hidden_layers: int = Field(32, ge=1, le=512)
    num_attention_heads: int = Field(32, ge=1, le=1024)
    num_key_value_heads: int | None = Field(None, ge=1, le=1024)
    hidden_act: Literal["silu", "gelu", "relu"] = "silu"
    max_position_embeddings: int = Field(4096, ge=8, le=1 << 20)
    rms_norm_eps: float = Field(1e-5, gt=0, le=1)
    rope_parameters: Rotations = Rotations.model_validate({})
    attention_bias: bool = False
    mlp_bias: bool = False
    swin_norm: bool = False
    tie_word_embeddings: bool = False
    model_parallel_size: int = Field(1, ge=1, le=1024)
    vq_config: VQConfig = VQConfig.model_validate({})
    vocabulary_map: dict[str, int] = Field(max_length=1 << 24)

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_written(cls, values: Any) -> Any:
        """Null is the default; for `num_key_value_heads`, which is 32 where it is left out, it is the number of heads."""
        if not isinstance(values, Mapping):
            return values
        known = {"num_key_value_heads": 32, **{name: value for name, value in values.items() if value is not None}}
        if values.get("num_key_value_heads", 0) is None:
            known["num_key_value_heads"] = values.get("num_attention_heads", 32)
        scaling, theta = (
            known.get("rope_scaling"),
            known.get("rope_theta", 10_000.0),
        )  # as transformers wrote it before version 5
        old = {"rope_type": scaling.get("type"), **scaling} if isinstance(scaling, Mapping) else {}
        known.setdefault(
            "rope_parameters", {"rope_theta": theta, **{name: one for name, one in old.items() if one is not None}}
        )
        return known

    @model_validator(mode="after")
    def _sizes_fit(self) -> ModelConfig:
        if self.hidden_size % self.num_attention_heads or (self.hidden_size // self.num_attention_heads) % 2:
            raise ValueError(f"{self.num_attention_heads} heads do not divide a width of {self.hidden_size} into even ones")
        if self.num_key_value_heads is None or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(f"{self.num_key_value_heads} key heads do not divide {self.num_attention_heads} heads")
        return self

    @cached_property
    def vocabulary(self) -> ChameleonVocabulary:
        """Which ids are text, which are codes, which are structure. Raises ValueError."""
        return ChameleonVocabulary.read(self.vocabulary_map, self.vocab_size)

    @property
    def key_heads(self) -> int:
        """Heads of keys and of values."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_width(self) -> int:
        """Numbers in each head."""
        return self.hidden_size // self.num_attention_heads

    def arguments(self) -> dict[str, Any]:
        """What transformers' ChameleonConfig is called with."""
        values = self.model_dump(exclude={"model_type"})
        values["vq_config"]["channel_multiplier"] = list(self.vq_config.channel_multiplier)
        resolutions = self.vq_config.attn_resolutions
        values["vq_config"]["attn_resolutions"] = None if resolutions is None else list(resolutions)
        if self.rope_parameters.rope_type == "default":
            del values["rope_parameters"]["factor"]
        return values


def read_config(folder: Path) -> ModelConfig:
    """The config of a folder. Raises AssetError where it is missing, or not a Chameleon's."""
    path = folder / "config.json"
    try:
        text = read_text(path, MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise AssetError(f"Cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text'}.", FIX) from error
    try:
        config = ModelConfig.model_validate_json(text)
        vocabulary = config.vocabulary
        if len(vocabulary.code_ids) != config.vq_config.num_embeddings:
            raise ValueError(
                f"the vocabulary has {len(vocabulary.code_ids)} codes, the image tokenizer {config.vq_config.num_embeddings}"
            )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise AssetError(f"{path} does not describe a Chameleon: {where}: {first['msg']}.", FIX) from error
    except (ValueError, RecursionError) as error:
        raise AssetError(f"{path} does not describe a Chameleon: {error}.", FIX) from error
    return config

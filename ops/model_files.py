"""Where the files of a model are: a directory, a shipped name, or a cached Hugging Face name."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from contracts.errors import ParleyError
from contracts.runs import Sampling

SHIPPED = Path(__file__).parent / "models"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


class NoModelFiles(ParleyError):
    """The model can't be found, or files are missing; the message says which and how."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine. `model_id` is its public name, the directory's (a Hugging Face
    model keeps its own). `context_length` in tokens, from its `config.json`. `shipped`: the
    small model that comes with Parley. `sampling`: how its makers advise to draw tokens."""

    model_id: str
    path: Path
    context_length: int
    shipped: bool
    sampling: Sampling


class _Advice(msgspec.Struct):
    """What of `generation_config.json` says how tokens are drawn: the keys that vLLM's own
    server takes defaults from."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0, le=10)] | None = None


def find_model(name_or_path: str, *, weights: bool = True) -> ModelFiles:
    """Return the files of the model of this name or at this path.

    `weights` False asks only for tokenizer and configuration: what an edge, a session host
    or a simulated engine needs.

    Raises:
        NoModelFiles: it isn't there, or not whole.
    """
    path, model_id = _locate(name_or_path)
    missing = [name for name in ("config.json", "tokenizer.json") if not (path / name).is_file()]
    if weights and not any(path.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise NoModelFiles(
            f"The model {name_or_path} lacks {', '.join(missing)} in {path}: "
            "a model directory holds config.json, tokenizer.json and *.safetensors, as "
            "Hugging Face models do. Give a whole one with --model."
        )
    shipped = path.parent == SHIPPED
    return ModelFiles(model_id, path, _context_length(path), shipped, _advised_sampling(path))


def _locate(name_or_path: str) -> tuple[Path, str]:
    shipped = SHIPPED / name_or_path
    if _NAME.fullmatch(name_or_path) and shipped.is_dir():
        return shipped, shipped.name
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path.resolve(), path.resolve().name
    if _NAME.fullmatch(name_or_path) and "/" in name_or_path:
        cached = _cached(name_or_path)
        if cached is not None:
            return cached, name_or_path.rpartition("/")[2]
        raise NoModelFiles(
            f"There are no files of the model {name_or_path} on this machine: download it "
            f"(hf download {name_or_path}), or give a directory with --model PATH."
        )
    known = ", ".join(sorted(entry.name for entry in SHIPPED.glob("*/"))) or "none"
    raise NoModelFiles(
        f"There is no model {name_or_path}: it is neither a directory nor a shipped model "
        f"({known}). Give --model PATH, a directory with config.json, tokenizer.json and "
        "*.safetensors."
    )


def _cached(name: str) -> Path | None:
    """A Hugging Face cache keeps `models--<owner>--<name>/snapshots/<commit>`, and in
    `refs/main` the commit that is current."""
    default = Path.home() / ".cache" / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", default)) / "hub")
    folder = hub / ("models--" + name.replace("/", "--"))
    try:
        commit = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if commit and snapshot.is_dir() else None


def _context_length(path: Path) -> int:
    try:
        config: Any = msgspec.json.decode((path / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise NoModelFiles(f"{path / 'config.json'} can't be read: {error}.") from error
    layers = [config, config.get("text_config", {})] if isinstance(config, dict) else []
    for layer in layers:
        for key in _CONTEXT_KEYS:
            if isinstance(layer.get(key), int):
                return int(layer[key])
    raise NoModelFiles(
        f"{path / 'config.json'} does not say how long the model's window is "
        f"({', '.join(_CONTEXT_KEYS)})."
    )


def _advised_sampling(path: Path) -> Sampling:
    file = path / "generation_config.json"
    try:
        advice = msgspec.json.decode(file.read_bytes(), type=_Advice)
    except FileNotFoundError:
        advice = _Advice()
    except (OSError, msgspec.DecodeError) as error:
        raise NoModelFiles(f"{file} can't be read: {error}.") from error
    given = {k: v for k, v in msgspec.structs.asdict(advice).items() if v is not None}
    if given.get("top_k", 0) < 0:
        given["top_k"] = 0
    return Sampling(max_tokens=0, **given)

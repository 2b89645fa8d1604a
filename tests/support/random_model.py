"""A tiny Llama with random weights and a tokenizer trained on generated text.

Deterministic: the same files on every machine of one kind. What it says means nothing, which
is all that tests of tokens, logs and recovery need.
"""

import json
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "models"
NAME = "random-llama-2"
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>")
VOCABULARY = 4096
HIDDEN, INTERMEDIATE, LAYERS, HEADS = 256, 768, 6, 4
CONTEXT = 2048
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def random_llama(cache: Path = CACHE) -> Path:
    """Return the directory of the model, made at the first call (about ten seconds).

    Several processes may call it at once: whoever is first puts the directory in place.
    """
    target = cache / NAME
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as made:
        directory = Path(made) / NAME
        directory.mkdir()
        _write_tokenizer(directory)
        _write_settings(directory)
        _write_weights(directory)
        try:
            directory.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    return target


def sentences(count: int, seed: int = 7) -> Iterator[str]:
    """Yield generated sentences: made-up words with a natural skew, numbers, other scripts."""
    draw = random.Random(seed)
    syllables = [a + b for a in "bdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er")]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(3000)]
    odd = ["naïve", "Größe", "東京", "привет", "🙂", "x = 1", "def", "return", "{}", "…"]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    for _ in range(count):
        chosen = draw.choices(words, weights, k=draw.randint(4, 18))
        if draw.random() < 0.3:
            chosen.insert(draw.randrange(len(chosen)), draw.choice(odd))
        if draw.random() < 0.3:
            chosen.append(str(draw.randint(0, 9999)))
        yield " ".join(chosen).capitalize() + draw.choice(".?!,\n")


def _write_tokenizer(directory: Path) -> None:
    from tokenizers import (  # noqa: PLC0415 - needed only by who makes the model
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(20_000), trainer)
    tokenizer.save(str(directory / "tokenizer.json"))


def _write_settings(directory: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HIDDEN // HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 4,
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|end|>",
        "pad_token": "<|pad|>",
        "additional_special_tokens": list(SPECIAL[1:4]),
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
    for name, content in (
        ("config.json", config),
        ("generation_config.json", {"eos_token_id": 0, "pad_token_id": 4}),
        ("tokenizer_config.json", tokenizer),
    ):
        (directory / name).write_text(json.dumps(content, indent=1))


def _write_weights(directory: Path) -> None:
    import torch  # noqa: PLC0415 - seconds to import
    from safetensors.torch import save_file  # noqa: PLC0415

    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int, scale: float) -> "torch.Tensor":
        drawn = torch.randn(rows, columns, generator=generator) * scale
        return drawn.to(torch.bfloat16)

    def ones() -> "torch.Tensor":
        return torch.ones(HIDDEN, dtype=torch.bfloat16)

    tensors = {"model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN, 0.08)}
    for number in range(LAYERS):
        layer = f"model.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{layer}.self_attn.{name}.weight"] = matrix(HIDDEN, HIDDEN, 0.08)
        tensors[f"{layer}.mlp.gate_proj.weight"] = matrix(INTERMEDIATE, HIDDEN, 0.08)
        tensors[f"{layer}.mlp.up_proj.weight"] = matrix(INTERMEDIATE, HIDDEN, 0.08)
        tensors[f"{layer}.mlp.down_proj.weight"] = matrix(HIDDEN, INTERMEDIATE, 0.08)
        tensors[f"{layer}.input_layernorm.weight"] = ones()
        tensors[f"{layer}.post_attention_layernorm.weight"] = ones()
    tensors["model.norm.weight"] = ones()
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})

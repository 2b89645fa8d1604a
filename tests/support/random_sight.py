"""A tiny Idefics3 (as SmolVLM is built) with random weights: a SigLIP tower beside a Llama.

Deterministic, as `tests.support.random_model` is. What it says of a picture means nothing, but
depends on it.
"""

import json
import tempfile
from pathlib import Path

from tests.support.random_model import CACHE, CONTEXT, SPECIAL, VOCABULARY, random_llama

NAME = "random-idefics-1"
IMAGE_TOKEN = "<image>"
ADDED = (IMAGE_TOKEN, "<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
IMAGE_TOKEN_ID = VOCABULARY
PICTURE_TOKENS = 16
"""Of the tower; the template of the architecture puts three tokens around them."""

HIDDEN, LAYERS, HEADS = 128, 3, 2
PIXELS, PATCH, SHUFFLE = 112, 14, 2
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def random_idefics(cache: Path = CACHE) -> Path:
    """Return the directory of the model, made at the first call (some seconds)."""
    target = cache / NAME
    if target.is_dir():
        return target
    llama = random_llama(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as made:
        directory = Path(made) / NAME
        directory.mkdir()
        _write_model(directory)
        write_tokenizer(directory, llama)
        _write_processor(directory)
        try:
            directory.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    return target


def _write_model(directory: Path) -> None:
    import torch  # noqa: PLC0415 - seconds to import
    from transformers import (  # noqa: PLC0415
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        LlamaConfig,
    )

    torch.manual_seed(0)
    config = Idefics3Config(
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": PIXELS,
            "patch_size": PATCH,
            "initializer_range": 0.5,
        },
        text_config=LlamaConfig(
            vocab_size=VOCABULARY + 32,
            hidden_size=HIDDEN,
            intermediate_size=256,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=CONTEXT,
            initializer_range=0.2,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=4,
        ),
        image_token_id=IMAGE_TOKEN_ID,
        scale_factor=SHUFFLE,
        pad_token_id=4,
        initializer_range=0.2,
    )
    model = Idefics3ForConditionalGeneration(config).to(torch.bfloat16)
    model.save_pretrained(directory)


def write_tokenizer(directory: Path, llama: Path) -> None:
    """Write the tokenizer of `llama` with the tokens of pictures, and a template that has them."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - needed only by who makes the model

    tokenizer = Tokenizer.from_file(str(llama / "tokenizer.json"))
    tokenizer.add_special_tokens(list(ADDED))
    assert tokenizer.token_to_id(IMAGE_TOKEN) == IMAGE_TOKEN_ID
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|end|>",
        "pad_token": "<|pad|>",
        "additional_special_tokens": [*SPECIAL[1:4], *ADDED],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def _write_processor(directory: Path) -> None:
    image = {
        "image_processor_type": "Idefics3ImageProcessor",
        "do_image_splitting": False,
        "size": {"longest_edge": PIXELS},
        "max_image_size": {"longest_edge": PIXELS},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    whole = {"processor_class": "Idefics3Processor", "image_seq_len": PICTURE_TOKENS}
    (directory / "preprocessor_config.json").write_text(json.dumps(image, indent=1))
    (directory / "processor_config.json").write_text(json.dumps(whole, indent=1))

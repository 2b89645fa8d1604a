"""The byte-level tokenizer, the chat's special tokens and its template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from ops.training.grammar import Conversation

END, SYSTEM, USER, ASSISTANT, PAD = range(5)
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>")
WINDOW = 2048
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def train(text: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-pair tokenizer of `vocabulary` entries; digits stay single, any text round-trips."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=3,
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """The tokenizer of `path`, with special tokens in text read as text."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer: Tokenizer, conversation: Conversation) -> tuple[list[int], list[bool]]:
    """Token ids, and for each whether it is the assistant's (its closing ``<|end|>`` included).

    Content is encoded apart from the role tokens, so no text can forge a role.
    """
    ids: list[int] = []
    spoken: list[bool] = []

    def add(role: int, content: str) -> None:
        body = [*tokenizer.encode(content, add_special_tokens=False).ids, END]
        ids.extend((role, *body))
        spoken.extend((False, *(role == ASSISTANT for _ in body)))

    if conversation.system is not None:
        add(SYSTEM, conversation.system)
    for turn in conversation.turns:
        add(USER, turn.user)
        add(ASSISTANT, turn.assistant)
    return ids, spoken


def prompt(tokenizer: Tokenizer, conversation: Conversation, question: str) -> list[int]:
    """The ids of a finished conversation, the next question and the opening of its answer."""
    ids, _ = encode(tokenizer, conversation)
    return [*ids, USER, *tokenizer.encode(question, add_special_tokens=False).ids, END, ASSISTANT]


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer as Hugging Face and vLLM read it."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL[END],
        "pad_token": SPECIAL[PAD],
        "extra_special_tokens": [SPECIAL[SYSTEM], SPECIAL[USER], SPECIAL[ASSISTANT]],
        "model_max_length": WINDOW,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)

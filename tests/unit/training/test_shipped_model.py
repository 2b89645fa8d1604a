"""The files of the model that ships with Parley."""

import json
from pathlib import Path

SHIPPED = Path(__file__).parents[3] / "ops/models/parley-small"


def test_shipped_files_are_complete_and_within_their_share() -> None:
    names = {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors",
        "MODEL_CARD.md",
    }
    assert names <= {path.name for path in SHIPPED.iterdir()}
    assert (SHIPPED / "model.safetensors").stat().st_size <= 16_000_000


def test_shipped_configuration_ends_answers_and_holds_the_window() -> None:
    configuration = json.loads((SHIPPED / "config.json").read_text())
    generation = json.loads((SHIPPED / "generation_config.json").read_text())
    assert generation["eos_token_id"] == configuration["eos_token_id"] == 0
    assert configuration["max_position_embeddings"] >= 1024
    assert configuration["tie_word_embeddings"]

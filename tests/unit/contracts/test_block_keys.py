"""The names of prompt prefixes."""

import pytest

from contracts.block_keys import BLOCK_TOKENS, KEY_LENGTH, KEYS_MAX, ROOT, block_key, prompt_keys

PROMPT = tuple(range(10 * BLOCK_TOKENS))


def test_keys_of_prompts_agree_as_far_as_their_blocks_do() -> None:
    other = (*PROMPT[: 3 * BLOCK_TOKENS], 7, *PROMPT[3 * BLOCK_TOKENS + 1 :])
    mine, others = prompt_keys(PROMPT), prompt_keys(other)
    assert mine[:3] == others[:3]
    assert not set(mine[3:]) & set(others[3:])


def test_key_of_a_block_depends_on_all_before_it() -> None:
    block = PROMPT[:BLOCK_TOKENS]
    first = block_key(ROOT, block)
    assert block_key(first, block) != first
    assert prompt_keys((*block, *block, 1)) == (first, block_key(first, block))


@pytest.mark.parametrize(
    ("length", "count"),
    [(0, 0), (1, 0), (BLOCK_TOKENS, 0), (BLOCK_TOKENS + 1, 1), (2 * BLOCK_TOKENS + 1, 2)],
)
def test_keys_leave_out_the_token_that_is_always_computed(length: int, count: int) -> None:
    assert len(prompt_keys(PROMPT[:length])) == count


def test_keys_of_a_long_prompt_are_bounded() -> None:
    keys = prompt_keys(tuple(range(2 * KEYS_MAX * BLOCK_TOKENS)))
    assert len(keys) == KEYS_MAX
    assert all(len(key) == KEY_LENGTH for key in keys)


def test_key_is_the_same_in_every_process_and_release() -> None:
    assert prompt_keys(tuple(range(33))) == ("0867cb2d73fb4e08",)


@pytest.mark.parametrize("token", [-1, 1 << 32])
def test_keys_end_before_an_id_that_no_model_has(token: int) -> None:
    prompt = list(PROMPT)
    prompt[2 * BLOCK_TOKENS] = token
    assert prompt_keys(prompt) == prompt_keys(PROMPT)[:2]
    with pytest.raises(ValueError, match="token ids"):
        block_key(ROOT, prompt[2 * BLOCK_TOKENS : 3 * BLOCK_TOKENS])

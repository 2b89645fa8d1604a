"""The training loop: its batches, its schedule, and going on after an interruption."""

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ops.training import export, loop, tokenizer  # noqa: E402
from ops.training.llama import Llama, Shape, rotary_tables  # noqa: E402

WORDS = tokenizer.load(Path(__file__).parents[3] / "ops/models/parley-small/tokenizer.json")
SHAPE = Shape(hidden=192, inner=48, layers=2, heads=2)
PLAN = loop.Plan(steps=4, pool=8, batch_tokens=600)


def test_batches_hold_the_budget_and_the_next_tokens() -> None:
    for ids, chosen, targets in loop.batches(WORDS, PLAN, 0, frozenset()):
        assert ids.numel() <= PLAN.batch_tokens or ids.shape[0] == 1
        assert torch.equal(ids.flatten()[chosen + 1], targets)
        assert tokenizer.PAD not in targets


def test_rate_rises_stays_and_falls() -> None:
    plan = loop.Plan(steps=1000, warmup_steps=10, decay_share=0.5)
    assert loop.rate(plan, 0) == pytest.approx(0.1)
    assert loop.rate(plan, 400) == 1.0
    assert loop.rate(plan, 999) == pytest.approx(0.02)
    assert loop.rate(dataclasses.replace(plan, rate=0.5), 400) == 0.5


def test_resumed_run_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    tables = rotary_tables(SHAPE, torch.bfloat16)
    batches = loop.batches(WORDS, PLAN, 0, frozenset())
    pairs = list(zip(batches, reversed(batches), strict=True))[:4]
    straight = loop.Trainer(SHAPE, PLAN)
    for pair in pairs:
        straight.learn(pair, tables)
    first = loop.Trainer(SHAPE, PLAN)
    for pair in pairs[:2]:
        first.learn(pair, tables)
    first.save(tmp_path / "checkpoint.pt")
    second = loop.Trainer(SHAPE, PLAN)
    second.resume(tmp_path / "checkpoint.pt")
    for pair in pairs[2:]:
        second.learn(pair, tables)
    for one, other in zip(straight.master.parameters(), second.master.parameters(), strict=True):
        assert torch.equal(one, other)


def test_step_on_two_batches_learns_from_the_mean_of_both() -> None:
    tables = rotary_tables(SHAPE, torch.bfloat16)
    batch, other = loop.batches(WORDS, PLAN, 0, frozenset())[:2]
    twice, once = (
        loop.Trainer(SHAPE, PLAN),
        loop.Trainer(SHAPE, dataclasses.replace(PLAN, copies=1)),
    )
    assert twice.learn((batch, batch), tables) == once.learn((batch,), tables)
    for one, same in zip(twice.master.parameters(), once.master.parameters(), strict=True):
        assert torch.equal(one, same)
    assert twice.learn((batch, other), tables) != once.learn((batch,), tables)


def test_run_writes_a_checkpoint_at_its_end(tmp_path: Path) -> None:
    trainer = loop.Trainer(SHAPE, PLAN)
    loop.run(trainer, WORDS, tmp_path / "checkpoint.pt", frozenset())
    assert trainer.step == PLAN.steps
    assert (tmp_path / "checkpoint.pt").is_file()


def test_export_agrees_with_the_training_network(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    network = Llama(SHAPE)
    export.write(network, WORDS, tmp_path)
    loaded = transformers.LlamaForCausalLM.from_pretrained(tmp_path).float()
    ids = torch.tensor([[2, 70, 80, 90, 0, 3]])
    with torch.no_grad():
        theirs = loaded(ids).logits
        ours = network.hidden(ids, *rotary_tables(SHAPE, torch.float32))
        ours = torch.nn.functional.linear(ours, network.embedding.weight) * export.SHARPNESS
    assert torch.allclose(ours, theirs, atol=0.05 * float(ours.abs().max()))
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))


def test_primed_network_copies_a_repeated_row_before_any_training() -> None:
    network = loop.Trainer(Shape(), loop.Plan()).master
    row = torch.randint(300, 4096, (4, 40), generator=torch.Generator().manual_seed(1))
    ids = torch.cat((row, row), dim=1)
    with torch.no_grad():
        states = network.hidden(ids, *rotary_tables(Shape(), torch.float32))
        logits = torch.nn.functional.linear(states, network.embedding.weight)
    chance = 1 / 4096
    following = logits[:, 40:-1].gather(2, ids[:, 41:, None]).squeeze(2)
    rank = (logits[:, 40:-1] > following[:, :, None]).sum(dim=2)
    assert float((rank <= 1).float().mean()) > 1000 * chance

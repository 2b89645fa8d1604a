"""Scores of an exported model: greedy answers in plain transformers, judged by the held-out cases."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from ops.training import tokenizer as text
from ops.training.grammar import Conversation, Turn
from ops.training.heldout import Case

ANSWER_TOKENS_MAX = 200


@dataclass(slots=True)
class Scores:
    """Right answers and cases of each category, endings of all answers, and what went wrong."""

    right: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    answers: int = 0
    ended: int = 0
    wrong: list[tuple[Case, str]] = field(default_factory=list)

    def table(self) -> str:
        """One line of Markdown for each category, the share of proper endings last."""
        rows = [(name, self.right[name], self.asked[name]) for name in sorted(self.asked)]
        rows.append(("well-formed endings, all answers", self.ended, self.answers))
        lines = ["| Category | Right | Cases | Share |", "|---|---|---|---|"]
        lines += [f"| {name} | {right} | {of} | {right / of:.1%} |" for name, right, of in rows]
        return "\n".join(lines)


class Speaker:
    """An exported model that answers greedily, many conversations at once."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = text.load(folder / "tokenizer.json")
        self.model = LlamaForCausalLM.from_pretrained(folder).float().eval()

    @torch.inference_mode()
    def answer(self, prompts: Sequence[list[int]]) -> list[tuple[str, bool]]:
        """For each prompt the answer's text and whether it ended by itself within the limit."""
        width = max(map(len, prompts))
        ids = torch.tensor([[text.PAD] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        made = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=ANSWER_TOKENS_MAX,
            do_sample=False,
            pad_token_id=text.PAD,
        )
        return [self._heard(row) for row in made[:, width:].tolist()]

    def _heard(self, row: list[int]) -> tuple[str, bool]:
        ended = text.END in row
        spoken = row[: row.index(text.END)] if ended else row
        return str(self.tokenizer.decode(spoken, skip_special_tokens=False)), ended

    def reply(self, conversation: Conversation, question: str) -> str:
        """The answer to `question` after `conversation`, which grows by that turn."""
        ((answer, _),) = self.answer([text.prompt(self.tokenizer, conversation, question)])
        conversation.turns.append(Turn(question, answer))
        return str(answer)


def score(speaker: Speaker, cases: Sequence[Case], batch: int = 48) -> Scores:
    """Play every case to its end with the model's own answers in between, and judge the last."""
    found = Scores()
    ordered = sorted(cases, key=lambda case: len(case.script))
    for start in range(0, len(ordered), batch):
        group = [(case, Conversation(case.system)) for case in ordered[start : start + batch]]
        for number in range(max(len(case.script) for case, _ in group)):
            live = [(case, talk) for case, talk in group if number < len(case.script)]
            prompts = [
                text.prompt(speaker.tokenizer, talk, case.script[number]) for case, talk in live
            ]
            for (case, talk), (answer, ended) in zip(live, speaker.answer(prompts), strict=True):
                talk.turns.append(Turn(case.script[number], answer))
                found.answers += 1
                found.ended += ended
                if number == len(case.script) - 1:
                    _judge(found, case, answer)
        print(
            f"scored {min(start + batch, len(ordered))} of {len(ordered)} cases",
            file=sys.stderr,
            flush=True,
        )
    return found


def _judge(found: Scores, case: Case, answer: str) -> None:
    found.asked[case.category] += 1
    if case.right(answer):
        found.right[case.category] += 1
    else:
        found.wrong.append((case, answer))

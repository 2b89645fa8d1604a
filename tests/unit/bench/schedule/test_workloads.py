import gzip
import itertools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.bench.schedule.cli import schedule
from ops.bench.schedule.plots import Line, line_chart
from ops.bench.schedule.prompts import Prompt, Record, Workload
from ops.bench.schedule.workloads.chats import Chats, ChatShape
from ops.bench.schedule.workloads.synthetic import fixed, short_and_long, uniform, variable
from ops.bench.schedule.workloads.tiers import TierLoad
from ops.bench.schedule.workloads.traces import (
    TraceMissing,
    mooncake,
    traces_folder,
    vtc_real,
)


def _generators(seed: int) -> list[Workload]:
    return [
        uniform([1.5, 3], 60, variable(), seed),
        short_and_long(8, 1.5, 60, fixed(256, 256), seed),
        Chats(ChatShape(duration_s=60), seed),
        TierLoad({"paid": 2.0, "free": 5.0}, {"paid": 3, "free": 9}, 60, seed),
    ]


@pytest.mark.parametrize("index", range(4))
def test_workload_of_one_seed_is_one_list_in_order_of_time(index: int) -> None:
    one = list(_generators(1)[index].opening())
    assert one == list(_generators(1)[index].opening())
    assert one != list(_generators(2)[index].opening())
    assert [prompt.at_us for prompt in one] == sorted(prompt.at_us for prompt in one)
    assert len({prompt.name for prompt in one}) == len(one) > 50
    assert all(1 <= prompt.output_tokens <= prompt.max_tokens for prompt in one)


def test_uniform_clients_ask_at_their_rates_and_rest_when_off() -> None:
    prompts = list(uniform([1, 2], 120, fixed(256, 256), 0, on_off_s=30).opening())
    first = [prompt.at_us / 1e6 for prompt in prompts if prompt.user == "client-0"]
    second = [prompt.at_us / 1e6 for prompt in prompts if prompt.user == "client-1"]
    assert len(second) == 240
    assert 55 <= len(first) <= 65
    assert not any(30 <= at_s < 60 for at_s in first)


def test_chat_goes_on_with_all_that_was_said() -> None:
    chats = Chats(ChatShape(duration_s=60), seed=3)
    first = next(iter(chats.opening()))
    record = Record(first, end_us=first.at_us + 1_000_000, ending="served")
    second = chats.following(record)
    assert second is not None
    assert second.prompt_tokens > first.prompt_tokens + first.output_tokens
    assert second.keys[: len(first.keys) + len(first.answer_keys)] == first.keys + first.answer_keys


def test_chat_that_was_refused_is_over() -> None:
    chats = Chats(ChatShape(duration_s=60), seed=3)
    first = next(iter(chats.opening()))
    assert chats.following(Record(first, end_us=first.at_us, ending="refused")) is None


def test_vtc_trace_is_read_by_path(tmp_path: Path) -> None:
    lines = "arrival_s,user,prompt_tokens,output_tokens\n0.5,13,100,20\n1.25,2,36,137\n"
    (tmp_path / "vtc_real.csv").write_text(lines)
    assert list(vtc_real(tmp_path).opening()) == [
        Prompt("vtc-0", "user-13", 500_000, 100, 20, 20),
        Prompt("vtc-1", "user-02", 1_250_000, 36, 137, 137),
    ]


def test_mooncake_prompts_that_share_more_than_the_first_block_are_one_chat(
    tmp_path: Path,
) -> None:
    rows = [
        {"timestamp": 0, "input_length": 1_500, "output_length": 9, "hash_ids": [0, 1, 2]},
        {"timestamp": 500, "input_length": 1_100, "output_length": 9, "hash_ids": [0, 5, 6]},
        {"timestamp": 900, "input_length": 2_000, "output_length": 9, "hash_ids": [0, 1, 2, 7]},
        {"timestamp": 90_000, "input_length": 600, "output_length": 9, "hash_ids": [0, 8]},
    ]
    file = tmp_path / "trace.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))
    prompts = list(mooncake(file, seed=1, until_s=60).opening())
    assert [prompt.chat for prompt in prompts] == ["chat-0", "chat-1", "chat-0"]
    shared = itertools.takewhile(
        lambda pair: pair[0] == pair[1], zip(prompts[0].keys, prompts[2].keys, strict=False)
    )
    assert len(list(shared)) == len(prompts[0].keys) == 1_499 // 32


def test_trace_that_is_missing_is_said_and_its_table_left_out(tmp_path: Path) -> None:
    with pytest.raises(TraceMissing):
        vtc_real(tmp_path)
    result = CliRunner().invoke(schedule, ["--table", "A", "--traces", str(tmp_path)])
    assert result.exit_code == 0
    assert "Table A is left out" in result.output


def test_traces_folder_is_told_or_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("PARLEY_TRACES", str(tmp_path))
    assert traces_folder(None) == tmp_path
    assert traces_folder(other) == other


def test_chart_draws_each_line_and_leaves_out_what_is_not_finite() -> None:
    lines = [Line("a & b", [(0, 1), (1, 2)]), Line("c", [(0, float("nan")), (1, 3)])]
    picture = line_chart("title", "x", "y", lines, log_y=True)
    assert picture.count("<polyline") == 2
    assert "a &amp; b" in picture
    assert "nan" not in picture

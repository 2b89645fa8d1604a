"""A settings file that changes while processes live."""

import asyncio
from pathlib import Path

import pytest

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryServer
from actors.scheduler.config import SchedulerConfig
from ops.compose.scheduler import Reloading, config_of
from ops.file_watch import FileWatch
from ops.model_files import find_model
from ops.settings import Settings, load, read_file
from ops.settings_copy import SettingsCopy
from ops.supervision.output import Screen
from tests.support.waiting import until


def settings_of(path: Path) -> Settings:
    home = str(path.parent / "home")
    return load({"home": home}, {}, read_file(path, required=True), str(path))


async def test_a_watch_tells_of_each_change_and_of_no_other(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("port = 1")
    changes: list[str] = []
    watch = FileWatch(path, lambda: changes.append(path.read_text()), look_s=0.01)
    running = asyncio.create_task(watch.run())
    path.write_text("port = 22")
    await until(lambda: changes == ["port = 22"])
    path.unlink()
    await asyncio.sleep(0.05)
    path.write_text("port = 333")
    await until(lambda: changes == ["port = 22", "port = 333"])
    await watch.stop()
    await running


async def test_schedulers_take_a_changed_file_and_refuse_a_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("[tiers.free]\nweight = 2")
    settings = settings_of(path)
    files = find_model("parley-small", weights=False)
    assert config_of(settings, "default", files).tiers["free"].weight == 2
    clock = SystemClock()
    bus = await MemoryServer(clock).connect("scheduler")
    reloading = Reloading(settings, {"default": files})
    make = reloading.maker("default", bus, bus, clock, "scheduler")
    actor = make()
    taken: list[SchedulerConfig] = []
    monkeypatch.setattr(actor, "reconfigure", taken.append)
    path.write_text("[tiers.free]\nweight = 0")
    reloading.reload()
    assert taken == []
    path.write_text("[tiers.free]\nweight = 7")
    reloading.reload()
    assert [config.tiers["free"].weight for config in taken] == [7]
    await bus.close()


def test_the_copy_in_the_home_follows_a_good_file_and_not_a_bad_one(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("[tiers.free]\nweight = 2")
    settings = settings_of(path)
    settings.home.mkdir()
    copy = SettingsCopy(settings, Screen())
    assert copy.flags == ("--config", str(settings.home / "settings.toml"))
    copy.write()
    kept = settings.home / "settings.toml"
    assert kept.read_text() == "[tiers.free]\nweight = 2"
    assert kept.stat().st_mode & 0o077 == 0
    path.write_text("[tiers.free]\nweight = 0")
    copy._changed()
    assert kept.read_text() == "[tiers.free]\nweight = 2"
    path.write_text("[tiers.free]\nweight = 9")
    copy._changed()
    assert kept.read_text() == "[tiers.free]\nweight = 9"


def test_without_a_file_children_are_told_of_none(tmp_path: Path) -> None:
    settings = load({"home": str(tmp_path)}, {}, {}, str(tmp_path / "parley.toml"))
    assert SettingsCopy(settings, Screen()).flags == ()

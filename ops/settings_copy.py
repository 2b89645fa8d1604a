"""The last good settings file, kept in the home for the children of `parley up`."""

from pathlib import Path

import structlog

from ops.file_watch import FileWatch
from ops.nats_server import write_private
from ops.setting_values import BadSetting
from ops.settings import Settings, reloaded
from ops.supervision.output import Screen

_log = structlog.get_logger()
_NAME = "settings.toml"


class SettingsCopy:
    """Children read the copy, so one that starts again never meets a file that does not fit. A
    change of the file is checked first: the copy follows if it fits, else the sentence is shown
    and the old one stays."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self._settings = settings
        self._source = Path(settings.sources.path).absolute()
        self._copy = settings.home / _NAME
        self._screen = screen
        self._there = self._source.is_file()

    @property
    def flags(self) -> tuple[str, ...]:
        """What a child is told of it; nothing where there is no file."""
        return ("--config", str(self._copy)) if self._there else ()

    def write(self) -> None:
        """Copy the file as it is; it has been read already."""
        if self._there:
            write_private(self._copy, self._source.read_text(encoding="utf-8"))

    async def follow(self) -> None:
        """Follow the file's changes until cancelled."""
        if self._there:
            await FileWatch(self._source, self._changed).run()

    def _changed(self) -> None:
        try:
            self._settings = reloaded(self._settings)
            self.write()
        except (BadSetting, OSError) as error:
            _log.warning("settings refused, the old ones stay", error=str(error))
            self._screen.say("settings", f"the old ones stay: {error}")
            return
        self._screen.say("settings", "tiers and costs are taken from the changed file")

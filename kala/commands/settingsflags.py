"""Flags from the table of settings (`settings.py`), which is also read from variables and files: they are given on as
text, and `config.py` reads them all alike.
"""

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kala.settings import Setting

SWITCHES = "kala.switches"
SETTINGS_FILE = "Settings file (TOML, JSON or YAML). [kala.toml in the home folder]"


def flag_name(name: str) -> str:
    """Case, dashes and underscores do not count in long flags: `--boltpath` and `--jobdbTlsCertPath` are known too."""
    return name if len(name) == 1 else re.sub("[-_]", "", name).lower()


class SettingsCommand(click.Command):
    """Flags from the table of settings, under its headings, and in the forms that the original's took:
    `--no-persist=false` for a switch, `-p=8000` for a value. `headings` are those that it has, None all of them."""

    headings: tuple[str, ...] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self._made:  # the table is read when it is needed: it imports what knows durations
            self._made = True
            from kala.settings import TABLE

            self.params += [
                option_of(setting)
                for heading, group in TABLE.items()
                for setting in group
                if setting.has_flag and (self.headings is None or heading in self.headings)
            ]
        return super().get_params(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        switches = {
            prefix + flag_name(name.lstrip("-")): option.name
            for option in self.get_params(ctx)
            if isinstance(option, click.Option) and option.is_flag
            for name in option.opts
            for prefix in [name[: len(name) - len(name.lstrip("-"))]]
        }
        rest: list[str] = []
        for arg in args:
            name, equals, value = arg.partition("=")
            dashes = name[: len(name) - len(name.lstrip("-"))]
            switch = switches.get(dashes + flag_name(name.lstrip("-"))) if equals else None
            if switch is not None:
                ctx.meta.setdefault(SWITCHES, {})[switch] = value
            elif equals and re.fullmatch("-[a-z]", name):
                rest += [name, value]
            else:
                rest.append(arg)
        return super().parse_args(ctx, rest)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from kala.settings import TABLE

        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        rows = {option.name: option.get_help_record(ctx) for option in options}
        headings = {heading: [setting.name for setting in group] for heading, group in TABLE.items()}
        named = {name for names in headings.values() for name in names}
        headings["Other"] = [name for name in rows if name is not None and name not in named]
        for heading, names in headings.items():
            if found := [row for name in names if (row := rows.get(name)) is not None]:
                with formatter.section(heading):
                    formatter.write_dl(found)


def option_of(setting: "Setting") -> click.Option:
    names = [setting.name, f"--{setting.flag}", *([f"-{setting.short}"] if setting.short else [])]
    if not setting.metavar:
        return click.Option(names, is_flag=True, help=setting.about)
    return click.Option(names, metavar=setting.metavar, multiple=setting.many, help=setting.about)


def given_flags(ctx: click.Context, given: dict[str, Any]) -> dict[str, object]:
    """The flags that were given, among all that there are."""
    switches: dict[str, object] = ctx.meta.get(SWITCHES, {})
    return switches | {
        name: value
        for name, value in given.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }

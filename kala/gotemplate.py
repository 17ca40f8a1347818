"""Go's text/template by the gotpl package, bounded in time and size: what `template.py` renders with. Imported only for
jobs with templates; raises ImportError when the extra `templates` is not installed.

A template is as trusted as the job it is in, but one that never ends, or makes gigabytes, must not hold up the daemon.
The package's own bounds do not cover a string that doubles itself, a width in `printf`, nor a parser's bad day.
"""

import gc
import re
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from gotime.go import Time
from gotpl import Environment, ExecutionBudget, SandboxPolicy, Template
from gotpl.runtime.gofmt import sprintf

from kala.clock import Moment
from kala.errors import TemplateFault

MAX_TEXT = 1 << 16  # characters of a template
MAX_OUTPUT = 1 << 20  # characters rendered, and made by functions on the way
MAX_WIDTH = 10_000  # in printf
TIME_LIMIT = 0.3  # seconds of processor time for reading, and for rendering; some hundred times what is usual
LOOK = 32  # calls of functions between two looks at the clock
BUDGET = ExecutionBudget(
    max_output_chars=MAX_OUTPUT, max_iterations=100_000, max_template_depth=100, max_function_calls=10_000
)
NUMBER = re.compile(r"\d{5,}")
LAYOUT = "2006-01-02 15:04:05.999999999 -0700 MST"  # of Go's Time.String
TIME_METHODS = ("Day", "Format", "Hour", "IsZero", "Minute", "Month", "Second", "String", "Unix", "Weekday", "Year")

Made = TypeVar("Made")


class TooLong(BaseException):
    """Out of time. No `Exception`, so that nothing on its way takes it for an error of the template."""


class GoTime:
    """A moment as a template sees it: Go's `time.Time` in UTC. None is Go's zero time."""

    def __init__(self, moment: Moment | None) -> None:
        self._time = Time.zero() if moment is None else Time.from_unix_microseconds(moment).utc()

    def __go_format_value__(self, kind: str, mode: str, *, nested: bool) -> str:
        return "time.Time" if kind == "type" else self.String()

    def __str__(self) -> str:
        return self.String()

    def Format(self, layout: str) -> str:  # noqa: N802 - Go's names, here and below
        return str(self._time.format(layout))

    def String(self) -> str:  # noqa: N802
        return self.Format(LAYOUT)

    def IsZero(self) -> bool:  # noqa: N802
        return bool(self._time.is_zero())

    def Unix(self) -> int:  # noqa: N802
        return int(self._time.unix())

    def Year(self) -> int:  # noqa: N802
        return int(self._time.year)

    def Month(self) -> str:  # noqa: N802
        return str(self._time.month)

    def Day(self) -> int:  # noqa: N802
        return int(self._time.day)

    def Weekday(self) -> str:  # noqa: N802
        return str(self._time.weekday)

    def Hour(self) -> int:  # noqa: N802
        return int(self._time.hour)

    def Minute(self) -> int:  # noqa: N802
        return int(self._time.minute)

    def Second(self) -> int:  # noqa: N802
        return int(self._time.second)


class Meter:
    """Go's functions that make text, which together make at most `MAX_OUTPUT` characters in one rendering."""

    def __init__(self) -> None:
        self.made = 0
        self._escapers = {name: Environment().from_string("{{" + name + " .}}") for name in ("html", "js", "urlquery")}

    def functions(self) -> dict[str, Callable[..., str]]:
        return {
            "print": lambda *values: self.text("print", values),
            "println": lambda *values: self.text("println", values),
            "printf": self.printf,
            "html": lambda *values: self.escaped("html", values),
            "js": lambda *values: self.escaped("js", values),
            "urlquery": lambda *values: self.escaped("urlquery", values),
        }

    def spend(self, size: int) -> None:
        self.made += size
        if self.made > MAX_OUTPUT:
            raise ValueError(f"it makes more than {MAX_OUTPUT} characters")

    def text(self, name: str, values: tuple[object, ...]) -> str:
        """fmt.Sprint puts a space between two operands when neither is a string, fmt.Sprintln always."""
        parts: list[str] = []
        for index, value in enumerate(values):
            if index and (name == "println" or not (isinstance(value, str) or isinstance(values[index - 1], str))):
                parts.append(" ")
            parts.append(self.shown(value))
        return "".join(parts) + ("\n" if name == "println" else "")

    def shown(self, value: object) -> str:
        made = value if isinstance(value, str) else sprintf("%v", value)
        self.spend(len(made))
        return made

    def printf(self, layout: str, *values: object) -> str:
        starred = values if "*" in layout else ()
        if NUMBER.search(layout) or any(isinstance(value, int) and abs(value) > MAX_WIDTH for value in starred):
            raise ValueError(f"printf: a width or precision above {MAX_WIDTH}")
        # One argument may be shown by every verb: %[1]s.
        self.spend(len(layout) + layout.count("%") * sum(len(value) for value in values if isinstance(value, str)))
        made = sprintf(layout, *values)
        self.spend(len(made))
        return made

    def escaped(self, name: str, values: tuple[object, ...]) -> str:
        made = self._escapers[name].render(self.text("print", values))
        self.spend(len(made))
        return made


class Compiled:
    """A template that has been read. Raises TemplateFault."""

    def __init__(self, text: str, left: str, right: str) -> None:
        if len(text) > MAX_TEXT:
            raise TemplateFault(f"the template is longer than {MAX_TEXT} characters")
        self._meter = Meter()
        functions = self._meter.functions()
        environment = Environment(
            functions=functions,
            delimiters=(left, right),
            missing_key="error",  # the original's data are structs, where a wrong name is an error
            sandbox=SandboxPolicy(
                allow_methods=TIME_METHODS,
                allow_functions=functions,
                max_template_chars=MAX_TEXT,
                default_budget=BUDGET,
            ),
            budget=BUDGET,
        )
        self._template: Template = guarded("read", lambda: environment.from_string(text, name="template"))

    def render(self, data: object) -> str:
        """Raises TemplateFault."""
        self._meter.made = 0
        return guarded("rendered", lambda: self._template.render(data))


def guarded(what: str, work: Callable[[], Made]) -> Made:
    """Do it within `TIME_LIMIT`: a profiler is called at each call of a function, and can raise from there."""
    deadline = time.thread_time() + TIME_LIMIT
    calls = 0

    def look(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1
        if calls % LOOK == 0 and time.thread_time() > deadline:
            raise TooLong

    # A finalizer that runs meanwhile would swallow what is raised in it, and with it the profiler.
    collecting, former = gc.isenabled(), sys.getprofile()
    gc.disable()
    sys.setprofile(look)
    try:
        return work()
    except TooLong:
        raise TemplateFault(f"the template cannot be {what} within {TIME_LIMIT:g} s") from None
    except Exception as error:
        raise TemplateFault(f"the template cannot be {what}: {str(error)[:300]}") from error
    finally:
        sys.setprofile(former)
        if collecting:
            gc.enable()


# What gotpl puts off to its first use takes longer than any template.
Environment().from_string('{{range $i, $x := .}}{{printf "%v %q" $i $x}}{{end}}').render([1])

"""One target as a process: `one.py MODULE TARGET [FOLDER] FLAGS`, where the flags are libFuzzer's and the folder is for
inputs that it keeps; the examples are put there, and a dictionary beside it."""

import importlib
import logging
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent


def main() -> None:
    program, module, name, *flags = sys.argv
    sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
    with atheris.instrument_imports(include=["kala", "cronsim", "gotpl"]):
        targets = importlib.import_module(f"fuzzing.{module}").TARGETS
    target = next(one for one in targets if one.name == name)
    logging.disable()
    for folder in [Path(flag) for flag in flags if Path(flag).is_dir()]:
        for number, seed in enumerate(target.seeds):
            (folder / f"seed-{number}").write_bytes(seed)
        flags.append(f"-max_len={target.longest}")
        if target.words:  # an empty dictionary is refused
            words = folder.with_suffix(".words")
            words.write_text("".join(f'"{escaped(word)}"\n' for word in target.words))
            flags.append(f"-dict={words}")
    atheris.Setup([program, *flags], target.try_one)
    atheris.Fuzz()


def escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()

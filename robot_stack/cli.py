"""The command line: `robot-stack VERB key=value ...`. Imports nothing heavy before a verb runs."""

import os
import signal
import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

CONFIGS = Path(__file__).parents[1] / "configs"
INTERRUPTED = 130  # what a shell reports of a program ended by Ctrl-C


class Verb(NamedTuple):
    """What one verb is for, where its code is, and the key that a first bare word sets (`bench spine`)."""

    summary: str
    target: str  # "module:function", imported when the verb runs, called with the composed config
    word: str = ""
    words: tuple[str, ...] = ()


VERBS = {
    "demo": Verb("the whole story in simulation, in at most 15 minutes, with a report at the end", "deploy.demo:run"),
    "collect": Verb("fly the robot yourself and record demonstrations", "deploy.service:collect"),
    "data": Verb(
        "look at a store of episodes, check it, import others' data",
        "robot_stack.store.cli:run",
        "action",
        ("info", "list", "check", "import"),
    ),
    "train": Verb("train a policy on a store", "policies.train:run"),
    "eval": Verb(
        "fly a checkpoint in simulation, faster than real time: success with its interval", "policies.evaluate:run"
    ),
    "deploy": Verb("let a checkpoint fly the robot; take over whenever you want", "deploy.service:deploy"),
    "replay": Verb("fly a stored episode again", "deploy.service:replay"),
    "check": Verb("connect to the robot and measure it against what it should be; moves nothing", "deploy.check:run"),
    "bench": Verb("measure this machine: the figures of the README", "deploy.bench:run", "name", ("spine",)),
    "doctor": Verb("what this machine has and lacks, what that costs, and what to do", "robot_stack.doctor:run"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; return the exit code: 0 done, 1 failed, 2 wrongly asked, 130 interrupted."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        from robot_stack.types import ConfigError

        known = _known(error)
        if known is None or os.environ.get("ROBOT_STACK_DEBUG"):
            raise
        print(f"robot-stack: {known}", file=sys.stderr)
        return 2 if isinstance(known, ConfigError) else 1


def _known(error: BaseException) -> BaseException | None:
    """The error of ours that this is, or that a driver's constructor raised while Hydra called it."""
    from robot_stack.types import RobotStackError

    if type(error).__module__.startswith("hydra.") and error.__cause__ is not None:
        error = error.__cause__
    return error if isinstance(error, RobotStackError) else None


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"robot-stack {version('robot-stack')}")
        return 0
    name, *overrides = arguments
    if name not in VERBS:
        _refuse("verb", name, list(VERBS))
    if {"-h", "--help"} & set(overrides):
        print(_help(name))
        return 0
    return _call(name, _with_word(VERBS[name], overrides))


def _call(name: str, overrides: list[str]) -> int:
    from robot_stack.configuration import compose

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be asked to end is an interrupt: verbs clean up
    config = compose(CONFIGS, name, overrides)
    module, function = VERBS[name].target.split(":")
    return int(getattr(import_module(module), function)(config) or 0)


def _with_word(verb: Verb, overrides: list[str]) -> list[str]:
    """Turn the leading bare word into an override: `bench spine` is `bench name=spine`."""
    if not verb.word or any(override.startswith(f"{verb.word}=") for override in overrides):
        return overrides
    word = overrides[0] if overrides and "=" not in overrides[0] else ""
    if word not in verb.words:
        _refuse(verb.word, word, list(verb.words))
    return [f"{verb.word}={word}", *overrides[1:]]


def _refuse(what: str, given: str, valid: list[str]) -> NoReturn:
    from robot_stack.types import ConfigError

    close = get_close_matches(given, valid)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    missing = f"{what} is missing." if not given else f"There is no {what} {given!r}."
    raise ConfigError(f"{missing}{meant} There are: {', '.join(valid)}.")


def _overview() -> str:
    lines = [f"  {name:9}{verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "Teach a real robot arm: teleoperate, record, train, deploy, take over, and learn from the takeovers.",
            "",
            "usage: robot-stack VERB key=value ...",
            "       robot-stack VERB --help        what it does, examples, and every key with its unit",
            "",
            *lines,
            "",
            "`robot-stack demo` shows all of it. ROBOT_STACK_DEBUG=1 shows where an error came from.",
        ]
    )


def _help(name: str) -> str:
    """The verb's config file is its manual: purpose and examples at its head, every key with unit and default below."""
    verb = VERBS[name]
    word = f" {{{'|'.join(verb.words)}}}" if verb.words else ""
    text = (CONFIGS / f"{name}.yaml").read_text().rstrip()
    groups = [line for line in map(_group, sorted(CONFIGS.iterdir())) if line and f"- {line.split()[0]}: " in text]
    choices = ["", "# Choices, each a file configs/GROUP/CHOICE.yaml whose keys are set as GROUP.KEY=value", *groups]
    return "\n".join(
        [f"usage: robot-stack {name}{word} key=value ...", "", verb.summary, "", text, *choices * bool(groups)]
    )


def _group(folder: Path) -> str:
    if not folder.is_dir():
        return ""
    return f"{folder.name} = {' | '.join(sorted(file.stem for file in folder.glob('*.yaml')))}"

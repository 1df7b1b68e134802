"""The command line: `robot-stack VERB [ACTION] key=value ...`. Imports nothing heavy before a verb runs."""

import os
import signal
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

CONFIGS = Path(__file__).parents[1] / "configs"
MULTIRUN = {"--multirun", "-m"}
INTERRUPTED = 130  # what a shell reports of a program ended by Ctrl-C


class Verb(NamedTuple):
    """What one verb is for, and where its code is: "module:function", imported when it runs and called with the config.

    A verb with `actions` wants one of them as its next word; `data check` has its manual in `data_check.yaml`. `words`:
    keys that may be given by their values alone, in this order. `swept`: what `--multirun` calls, returns a number.
    """

    summary: str
    target: str = ""
    actions: dict[str, str] = {}  # noqa: RUF012  a NamedTuple's default; nobody changes it
    words: tuple[str, ...] = ()
    swept: str = ""


DATA = {
    "info": "robot_stack.store.cli:info",
    "list": "robot_stack.store.cli:list_episodes",
    "check": "robot_stack.store.cli:check",
    "view": "deploy.viewer:run",
    "report": "deploy.report.store:run",
    "quality": "robot_stack.quality.cli:run",
    "delete": "robot_stack.store.edit_cli:delete",
    "trim": "robot_stack.store.edit_cli:trim",
    "split": "robot_stack.store.edit_cli:split",
    "merge": "robot_stack.store.edit_cli:merge",
    "relabel": "robot_stack.store.edit_cli:relabel",
    "filter": "robot_stack.store.edit_cli:make_view",
    "undo": "robot_stack.store.edit_cli:undo",
    "log": "robot_stack.store.edit_cli:show_log",
    "compact": "robot_stack.store.compact_cli:run",
    "import": "robot_stack.store.formats.cli:run_import",
    "export": "robot_stack.store.formats.cli:run_export",
    "verify": "robot_stack.store.verify:run",
    "cache": "robot_stack.store.show_cache:run",
}

VERBS = {
    "demo": Verb("the whole story in simulation, in at most 15 minutes, with a report at the end", "deploy.demo:run"),
    "collect": Verb("fly the robot yourself and record demonstrations", "deploy.service:collect"),
    "data": Verb("look at a store of episodes, check, edit and judge it, bring others' data in and out", actions=DATA),
    "train": Verb("train a policy on a store", "policies.train:run", swept="policies.train:objective"),
    "policy": Verb(
        "bring LeRobot's policies in and ours out",
        actions={
            "import": "policies.bridge_lerobot.cli:run_import",
            "export": "policies.bridge_lerobot.cli:run_export",
        },
    ),
    "eval": Verb(
        "fly a checkpoint in simulation, faster than real time: success with its interval", "policies.evaluate:run"
    ),
    "compare": Verb(
        "fly two checkpoints from the same starts: is one better?", "policies.compare:run", words=("a", "b")
    ),
    "experiment": Verb(
        "measure a way of learning from takeovers, with scripted people",
        actions={"sirius": "policies.experiment.sirius:run"},
    ),
    "deploy": Verb("let a checkpoint fly the robot; take over whenever you want", "deploy.service:deploy"),
    "replay": Verb("fly a stored episode again", "deploy.service:replay"),
    "check": Verb(
        "measure the robot against what it should be; moves nothing, with --move a little, once you agreed",
        "deploy.check:run",
    ),
    "home": Verb("fly the arm home, slowly, once you have agreed", "deploy.home:run"),
    "bench": Verb(
        "measure this machine: the figures of the README",
        actions={
            "spine": "deploy.bench.spine:run",
            "store": "deploy.bench.store:run",
            "control": "deploy.bench.control:run",
            "train": "deploy.bench.train:run",
            "inference": "deploy.bench.inference:run",
        },
    ),
    "emulate": Verb(
        "a controller to rehearse against, at the wire: a simulated arm that the real client libraries fly",
        actions={
            "ur5e": "robot_stack.emulators.cli:ur5e",
            "robotiq": "robot_stack.emulators.cli:robotiq",
            "franka": "robot_stack.emulators.cli:franka",
            "panda": "robot_stack.emulators.cli:panda",
        },
    ),
    "doctor": Verb("what this machine has and lacks, what that costs, and what to do", "robot_stack.doctor:run"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; return the exit code: 0 done, 1 failed, 2 wrongly asked, 130 interrupted."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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
    name, *rest = arguments
    if name not in VERBS:
        _refuse("verb", name, list(VERBS))
    asks = bool({"-h", "--help"} & set(rest))
    actions = VERBS[name].actions
    if not actions:
        command, target = name, VERBS[name].target
    elif asks and (rest[0] not in actions):
        print(_actions_help(name))
        return 0
    else:
        action = rest.pop(0) if rest and "=" not in rest[0] else ""
        if action not in actions:
            _refuse("action", action, list(actions))
        command, target = f"{name}_{action}", actions[action]
    if asks:
        print("\n".join([_help(command), *map(_choice, rest)]).rstrip())
        return 0
    if VERBS[name].swept and MULTIRUN & set(rest):
        from robot_stack.configuration import sweep

        sweep(CONFIGS, command, rest, _imported(VERBS[name].swept))
        return 0
    return _call(command, target, [_flag(override) for override in _named(rest, VERBS[name].words)])


def _call(command: str, target: str, overrides: list[str]) -> int:
    from robot_stack.configuration import compose

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be asked to end is an interrupt: verbs clean up
    config = compose(CONFIGS, command, overrides)
    return int(_imported(target)(config) or 0)


def _imported(target: str) -> Callable[..., Any]:
    """What "module:function" names."""
    module, function = target.split(":")
    named: Callable[..., Any] = getattr(import_module(module), function)
    return named


def _named(overrides: list[str], words: tuple[str, ...]) -> list[str]:
    """Plain words as the values of the keys `words`: `compare x y` is `compare a=x b=y`."""
    keys = iter(words)
    plain = [override for override in overrides if "=" not in override and override[:1] != "-"]
    named = {word: f"{key}={word}" for word, key in zip(plain, keys, strict=False)}
    return [named.get(override, override) for override in overrides]


def _flag(override: str) -> str:
    """`--fix` is short for `fix=true`."""
    return f"{override[2:]}=true" if override.startswith("--") and "=" not in override else override


def _refuse(what: str, given: str, valid: list[str]) -> NoReturn:
    from robot_stack.types import ConfigError

    close = get_close_matches(given, valid)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    missing = f"{what} is missing." if not given else f"There is no {what} {given!r}."
    raise ConfigError(f"{missing}{meant} There are: {', '.join(valid)}.")


def _overview() -> str:
    lines = [f"  {name:11}{verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "Teach a real robot arm: teleoperate, record, train, deploy, take over, and learn from the takeovers.",
            "",
            "usage: robot-stack VERB [ACTION] key=value ...",
            "       robot-stack VERB [ACTION] --help     what it does, examples, and every key with its unit",
            "",
            *lines,
            "",
            "`robot-stack demo` shows all of it. ROBOT_STACK_DEBUG=1 shows where an error came from.",
        ]
    )


def _actions_help(name: str) -> str:
    """What a verb with actions can do: the first line of each action's manual."""
    lines = [f"  {action:9}{_manual(f'{name}_{action}').splitlines()[0][2:]}" for action in VERBS[name].actions]
    usage = [f"usage: robot-stack {name} ACTION key=value ...", f"       robot-stack {name} ACTION --help"]
    return "\n".join([*usage, "", VERBS[name].summary, "", *lines])


def _help(command: str) -> str:
    """The config file is the manual: purpose and examples at its head, every key with unit and default below."""
    text = _manual(command)
    groups = [line for line in map(_group, sorted(CONFIGS.iterdir())) if line and f"- {line.split()[0]}: " in text]
    shown = f"; robot-stack {command.replace('_', ' ')} GROUP=CHOICE --help shows them"
    choices = [
        "",
        f"# Choices, each a file configs/GROUP/CHOICE.yaml whose keys are set as GROUP.KEY=value{shown}",
        *groups,
    ]
    usage = f"usage: robot-stack {command.replace('_', ' ')} key=value ..."
    return "\n".join([usage, "", text, *choices * bool(groups)])


def _choice(override: str) -> str:
    """The files of a choice that is asked about: `train policy=act --help` shows the keys of that policy too."""
    group, _, choice = override.partition("=")
    file = CONFIGS / group / f"{choice}.yaml"
    if not choice or not file.is_file():
        return ""
    parts = [line for line in file.read_text().splitlines() if line.startswith("defaults: [")]
    names = [name.strip() for line in parts for name in line[len("defaults: [") : line.index("]")].split(",")]
    shown = [_choice(f"{group}={name}") for name in names if name != "_self_"]
    return "\n".join([f"\n# {override}", file.read_text().rstrip(), *filter(None, shown)])


def _manual(command: str) -> str:
    return (CONFIGS / f"{command}.yaml").read_text().rstrip()


def _group(folder: Path) -> str:
    if not folder.is_dir():
        return ""
    return f"{folder.name} = {' | '.join(sorted(file.stem for file in folder.glob('[!_]*.yaml')))}"

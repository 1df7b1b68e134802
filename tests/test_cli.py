import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import InstantiationException

from robot_stack import cli
from robot_stack.cli import CONFIGS, VERBS, main
from robot_stack.configuration import compose
from robot_stack.types import ConfigError, DeviceError, StoreError


def output_of(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from robot_stack.cli import main; code = main(); print(*sys.modules); sys.exit(code)"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["collect", "--help"], ["doctor", "port=1", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    result = output_of(*arguments)
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.splitlines()[-1].split())
    assert not loaded & {"numpy", "hydra", "omegaconf", "torch", "cv2", "zarr", "mujoco", "rich"}


def test_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {verb} " in printed for verb in VERBS)


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("robot-stack 0.")


COMMANDS = [[verb, action] for verb in VERBS for action in VERBS[verb].actions] + [
    [verb] for verb in VERBS if not VERBS[verb].actions
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_verb_is_its_config_with_its_comments(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert (CONFIGS / f"{'_'.join(command)}.yaml").read_text().rstrip() in printed
    assert f"robot-stack {' '.join(command)} " in printed


def test_help_of_a_verb_with_actions_names_each_and_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["data", "--help"], ["data", "store=x", "-h"]):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert all(f"\n  {action} " in printed for action in VERBS["data"].actions)
        assert "What is wrong with a store" in printed


def test_a_flag_is_short_for_true(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(cli, "_call", lambda *call: calls.append(call) or 0)
    assert main(["data", "check", "store=x", "--fix"]) == 0
    assert calls == [("data_check", VERBS["data"].actions["check"], ["store=x", "fix=true"])]


def test_help_of_a_verb_lists_the_choices_of_each_group(capsys: pytest.CaptureFixture[str]) -> None:
    main(["collect", "--help"])
    assert "robot = fr3 | fr3_emulated | panda | panda_emulated | sim_fr3 | sim_ur5e | ur5e | ur5e_emulated\n" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_key_of_every_verb_says_what_it_is(command: list[str]) -> None:
    name = "_".join(command)
    for line in (CONFIGS / f"{name}.yaml").read_text().splitlines():
        if line and not line.startswith((" ", "#", "-", "defaults:")):
            assert "#" in line, f"configs/{name}.yaml: {line!r} has no comment"


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["colect"], ["There is no verb 'colect'. Did you mean collect?", "doctor"]),
        (["doctor", "prt=1"], ["There is no key 'prt'. Did you mean port?", "host, port, store"]),
        (["doctor", "port"], ["cannot read 'port': expected key=value"]),
        (["doctor", "+speed=1"], ["cannot read '+speed=1'"]),
        (["doctor", "store=[b"], ["cannot read 'store=[b'"]),
        (["doctor", "port=many"], ["port=many: expected a whole number, as in port=8000"]),
        (["doctor", "store=a,b"], ["doctor: Ambiguous value", "quote"]),
        (["doctor", "store=${nowhere}"], ["doctor: Interpolation key 'nowhere' not found"]),
        (["data"], ["action is missing. There are: info"]),
        (["data", "inof"], ["There is no action 'inof'. Did you mean info?"]),
        (["collect", "task=lfit"], ["There is no task 'lfit'. Did you mean lift?", "peg"]),
        (
            ["collect", "robot.nam=x"],
            ["There is no key 'robot.nam'. Did you mean robot.name", "robot.limits.tcp_speed"],
        ),
    ],
)
def test_what_is_misspelt_is_answered_with_what_is_valid(
    arguments: list[str], sentences: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert all(sentence in printed for sentence in sentences), printed


@pytest.mark.parametrize("place", ["größe", "it's", "a (1)", "c=d", "g[1]", "h#1", "lift@good", "a b"])
def test_a_folder_may_have_any_name(place: str) -> None:
    assert compose(CONFIGS, "data_info", [f"store={place}"])["store"] == place


def verb_that_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def call(command: str, target: str, overrides: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_call", call)


def test_an_error_is_one_message_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verb_that_raises(monkeypatch, StoreError("no store here"))
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "robot-stack: no store here\n"


def test_an_error_shows_where_it_came_from_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    verb_that_raises(monkeypatch, StoreError("no store here"))
    monkeypatch.setenv("ROBOT_STACK_DEBUG", "1")
    with pytest.raises(StoreError):
        main(["doctor"])


def test_an_error_of_a_constructor_is_found_inside_hydras(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = InstantiationException("Error in call to target")
    error.__cause__ = DeviceError("no arm at this address")
    verb_that_raises(monkeypatch, error)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "robot-stack: no arm at this address\n"


def test_an_unknown_error_is_never_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    verb_that_raises(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_an_interrupt_is_reported_as_shells_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verb_that_raises(monkeypatch, KeyboardInterrupt())
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_installed_command_is_there() -> None:
    command = Path(sys.executable).with_name("robot-stack")
    result = subprocess.run([command, "doctor", "--help"], capture_output=True, text=True, env={**os.environ})
    assert result.returncode == 0
    assert "usage: robot-stack doctor key=value" in result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "arm").mkdir()
    (tmp_path / "arm" / "one.yaml").write_text("speed: 0.5\nlimits: {box: [1.0, 2.0]}\n")
    (tmp_path / "arm" / "two.yaml").write_text("speed: 1.5\nport: 3\n")
    text = "defaults: [arm: one, _self_]\nstore: null\ncount: 2\nauto: true\nname: ${store}\n"
    (tmp_path / "fly.yaml").write_text(text)
    (tmp_path / "needy.yaml").write_text("store: ???\n")
    return tmp_path


def test_overrides_and_choices_are_composed(folder: Path) -> None:
    config = compose(folder, "fly", ["arm=two", "arm.port=4", "store=data/x", "count=3"])
    assert config == {
        "arm": {"speed": 1.5, "port": 4}, "store": "data/x", "count": 3, "auto": True, "name": "data/x",
    }  # fmt: skip


def test_keys_of_the_chosen_file_are_the_valid_ones(folder: Path) -> None:
    assert compose(folder, "fly", ["arm=two", "arm.port=4"]).arm.port == 4
    with pytest.raises(ConfigError, match=r"no key 'arm\.port'.*arm\.speed, arm\.limits, arm\.limits\.box"):
        compose(folder, "fly", ["arm.port=4"])


@pytest.mark.parametrize(
    ("override", "expected"),
    [("count=2.5", "a whole number"), ("count=true", "a whole number"), ("auto=1", "true or false"),
     ("arm.speed=fast", "a number"), ("arm.speed=true", "a number")],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(folder: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{override.split('=')[0]}=.*: expected {expected}"):
        compose(folder, "fly", [override])


def test_a_whole_number_is_a_number(folder: Path) -> None:
    assert compose(folder, "fly", ["arm.speed=1"]).arm.speed == 1


def test_a_required_key_is_asked_for(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"needy needs store=\.\.\."):
        compose(folder, "needy", [])


def test_a_sweep_runs_each_combination_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(cli, "_imported", lambda _: lambda config: seen.append(dict(config)) or 0.5)
    monkeypatch.setattr("sys.argv", ["robot-stack"])
    where = f"hydra.sweep.dir={tmp_path}/sweep"
    assert main(["train", "store=x", "--multirun", where, "seed=0,1", "policy=bc"]) == 0
    assert [(one["seed"], one["out"]) for one in seen] == [(0, f"{tmp_path}/sweep/0"), (1, f"{tmp_path}/sweep/1")]


@pytest.mark.parametrize("choice", ["hydra/sweeper=search", "hydra/launcher=slurm"])
def test_a_search_and_a_cluster_are_one_word(choice: str) -> None:
    import hydra

    with hydra.initialize_config_dir(str(CONFIGS.resolve()), version_base=None):
        composed = hydra.compose("train", [choice, "store=x"], return_hydra_config=True).hydra
    assert composed.sweeper.get("n_trials") == 20 or composed.launcher.get("timeout_min") == 240


def test_plain_words_stand_for_the_keys_of_a_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(cli, "_call", lambda *call: calls.append(call) or 0)
    main(["compare", "runs/a", "episodes=3", "runs/b"])
    assert calls == [("compare", "policies.compare:run", ["a=runs/a", "episodes=3", "b=runs/b"])]


def test_help_of_a_choice_shows_its_keys_and_those_it_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "policy=diffusion_images", "--help"]) == 0
    printed = capsys.readouterr().out
    for key in ("prediction: noise", "resolution: ${task.resolution}", "horizon: 16", "steps: ${task.steps}"):
        assert key in printed

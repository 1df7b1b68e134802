from robot_stack.emulators.ur.script import (
    CONTROL,
    ScriptReader,
    calls_of,
    is_control_script,
    name_of,
    offset_of,
    parse,
    path_of,
)

SCRIPT = f"""def rtde_control():
    global reg_offset_float = # float register offset
24    global reg_offset_int = # int register offset
24    def exec_move_path():
        # inject move path
        movej([0, 1, 2, 3, 4, 5],a=1.4,v=1.05,r=0.0)
        signal_async_progress(1)
        movel(p[0.1, 0.2, 0.3, 0, 3.14, 0],a=0.5,v=0.25,r=0)
    end
    # {CONTROL} #
end
"""


def test_a_script_is_whole_when_end_stands_at_the_beginning_of_a_line() -> None:
    reader = ScriptReader()
    pieces = [SCRIPT[i : i + 7].encode() for i in range(0, len(SCRIPT), 7)]
    assert [script for piece in pieces for script in reader.read(piece)] == [SCRIPT]


def test_several_scripts_and_single_lines_may_come_at_once() -> None:
    text = "set_tool_digital_out(0, True)\n" + SCRIPT + "stopj(2.0)\n"
    scripts = ScriptReader().read(text.encode())
    assert [name_of(script) for script in scripts] == ["set_tool_digital_out", "rtde_control", "stopj"]


def test_the_control_script_is_known_by_its_text_with_its_registers_and_its_path() -> None:
    assert is_control_script(SCRIPT)
    assert offset_of(SCRIPT) == 24
    path = path_of(SCRIPT)
    assert [call.name for call in path] == ["movej", "signal_async_progress", "movel"]
    assert path[0].arguments == [[0, 1, 2, 3, 4, 5]]
    assert path[0].named == {"a": 1.4, "v": 1.05, "r": 0.0}
    assert path[2].poses == {0}


def test_a_script_without_a_path_has_none() -> None:
    assert path_of(SCRIPT.replace("movej(", "x = (").replace("movel(p", "y = (")) == []


def test_statements_are_read_with_their_arguments() -> None:
    calls = calls_of('def hello():\n\twrite_output_integer_register(0 +24, 1)\n\ttextmsg("a b")\n x = 3\nend\n')
    assert [(call.name, call.arguments) for call in calls] == [
        ("write_output_integer_register", [24, 1]),
        ("textmsg", ["a b"]),
    ]
    assert parse("if x > 3:") is None

"""The command line: what it offers, and what it says when it cannot follow."""

import io
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from kajiya import settings_docs
from kajiya.cli import app
from kajiya.cli.pipeline import gate_text
from kajiya.console_table import new_table, print_table

ROOT = Path(__file__).parent.parent


def kajiya(*words):
    return CliRunner().invoke(app, list(words))


def said(result):
    """All output, colours and line folding taken away."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", result.output).split())


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with settings and one recipe, and no pipeline that could run."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "smoke.yaml").write_text(
        "description: The smallest.\ntokenizer: {vocabulary_size: 4000}\n"
    )
    (tmp_path / "recipes" / "later.yaml").write_text("description: Not yet.\n")
    (tmp_path / "params.yaml").write_text(
        "recipes:\n  smoke: {base: inputs/none, instructions: data/talk}\nsample: {scale: 0.1}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from kajiya.cli import app\n"
        "try: app(['--help'])\n"
        "finally: print('HEAVY', [m for m in ('torch', 'prefect', 'dvc', 'mlflow', 'polars', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize("command", sorted(get_command(app).commands))
def test_help_of_every_command_gives_an_example(command):
    assert f"Examples: kajiya {command}" in said(kajiya(command, "--help"))


def test_options_are_no_settings():
    """A frozen surface: what shall change a result belongs into params.yaml or a recipe."""
    options = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in get_command(app).commands.items()
    }

    assert options == {
        "run": {"--recipe", "--until", "--shrink"},  # how it runs: placement, told by the lineage
        "status": {"--recipe", "--shrink"},
        "lineage": {"--html"},
        "compare": {"--html", "--published", "--unpaired"},
        "fertility": {"--on", "--characters", "--html"},
        "recipes": set(),
        "sample": {"--serve"},
        "report": {"--html"},
        "audit": {"--rule", "--threshold"},  # a question: it writes nothing
        "accept": {"--yes", "--drifted"},
        "trace": set(),
        "takedown": {"--reason", "--all"},
        "settings": {"--markdown"},
        "convert": set(),
        "judge": set(),
        # A conversation is no result of the pipeline.
        "chat": {"--draft", "--temperature", "--top-p", "--seed", "--max-tokens"},
        "serve": {"--draft", "--port", "--host"},
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("recipes", "show", "smok"), "no recipe `smok`: there is no recipes/smok.yaml. Did you mean smoke?"),
        (("report", "smok"), "Did you mean smoke?"),
        (("lineage", "kajiya-smoke"), "kajiya-smoke"),
        (("status",), "no DVC repository"),
        (("run",), "no DVC repository"),
    ],
)
@pytest.mark.usefixtures("project")
def test_command_that_cannot_be_followed_ends_with_one_error_and_status_2(words, expected):
    result = kajiya(*words)

    assert result.exit_code == 2
    assert said(result).startswith("error: ")
    assert expected in said(result)
    assert "Traceback" not in result.output


def test_table_in_a_pipe_keeps_its_rows_whole(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    written = io.StringIO()
    table = new_table("stage", "why")
    table.add_row("clean@c4", "reason " * 20)
    print_table(Console(file=written), table)

    assert len(written.getvalue().splitlines()) == 2


def test_table_wider_than_a_line_in_a_pipe_cuts_no_column(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    written = io.StringIO()
    columns = [f"figure {number}" for number in range(12)]
    table = new_table("file", *columns, right=tuple(columns))
    table.add_row("a.json", *["0.50 (0.25 to 0.75)"] * 12)
    print_table(Console(file=written), table)

    assert written.getvalue().count("0.50 (0.25 to 0.75)") == 12
    assert len(written.getvalue().splitlines()) == 2


@pytest.mark.usefixtures("project")
def test_sample_writes_a_world_with_its_answer_key(tmp_path):
    result = kajiya("sample", "world")

    assert result.exit_code == 0
    assert (tmp_path / "world" / "answer_key.jsonl").stat().st_size > 0


def test_sample_into_a_folder_of_something_else_leaves_it_alone(project):
    (project / "mine").mkdir()
    (project / "mine" / "letter.txt").write_text("私のもの")

    result = kajiya("sample", "mine")

    assert result.exit_code == 2
    assert [path.name for path in (project / "mine").iterdir()] == ["letter.txt"]


def test_sample_of_a_folder_that_holds_one_says_that_it_stays(project):
    (project / "world").mkdir()
    (project / "world" / "answer_key.jsonl").write_text("mine")

    result = kajiya("sample", "world")

    assert "left as it is" in said(result)
    assert (project / "world" / "answer_key.jsonl").read_text() == "mine"


def test_sample_served_on_a_port_in_use_names_it(project):
    (project / "world").mkdir()
    (project / "world" / "answer_key.jsonl").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = kajiya("sample", "world", "--serve", str(port))

    assert result.exit_code == 2
    assert f"port {port} on 127.0.0.1 is in use" in said(result)


@pytest.mark.usefixtures("project")
def test_sample_served_on_a_port_that_no_machine_has_is_refused_before_anything_is_written():
    result = kajiya("sample", "world", "--serve", "65536")

    assert result.exit_code == 2
    assert "--serve" in said(result)
    assert "65535" in said(result)
    assert not Path("world").exists()


def test_convert_of_a_file_that_is_no_checkpoint_ends_with_one_error_and_writes_nothing(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"once upon a time")

    result = kajiya("convert", "llama2c", *(str(tmp_path / n) for n in ("model.bin", "tokenizer.bin", "out")))

    assert result.exit_code == 2
    assert "16 bytes are less than llama2.c's header" in said(result)
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


def test_settings_of_a_stage_print_type_default_and_meaning(monkeypatch):
    monkeypatch.chdir(ROOT)

    text = said(kajiya("settings", "quantize"))

    assert "section `quantize.<name>` of recipes/<recipe>.yaml" in text
    assert "group_size: int, >= 8 = 128 Weights of one row that share a scale." in text


def test_settings_of_an_unknown_stage_lists_the_known_ones(monkeypatch):
    monkeypatch.chdir(ROOT)

    result = kajiya("settings", "quantise")

    assert result.exit_code == 2
    assert "quantize" in said(result)


def test_settings_page_in_docs_is_up_to_date(monkeypatch):
    monkeypatch.chdir(ROOT)

    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_docs.markdown(
        Path("dvc.yaml")
    ), "run `kajiya settings --markdown`"


def test_settings_of_every_stage_have_a_meaning(monkeypatch):
    monkeypatch.chdir(ROOT)

    silent = [
        f"{stage}.{setting.name}"
        for stage in settings_docs.sections(Path("dvc.yaml"))
        for one in settings_docs.settings_classes(settings_docs.settings_type(stage))
        for setting in settings_docs.describe(one)
        if not setting.meaning
    ]

    assert silent == []


def test_stage_help_prints_its_settings():
    done = subprocess.run(
        [sys.executable, "-m", "components.dedupe", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    for setting in settings_docs.describe(
        settings_docs.settings_classes(settings_docs.settings_type("dedupe"))[0]
    ):
        assert setting.name in done.stdout


@pytest.mark.parametrize(
    ("drop", "told"),
    [
        ("5.00", "passed, largest drop 5.0 points"),
        ("-1.00", "passed, no drop"),
        ("-0.00", "passed, no drop"),
        (None, "passed"),
    ],
)
def test_status_tells_the_largest_drop_in_words(drop, told):
    assert gate_text({"gate": "passed"} | ({} if drop is None else {"gate_largest_drop": drop})) == told


@pytest.mark.parametrize("group", ["convert", "judge"])
def test_help_of_a_group_gives_each_example_a_line(group):
    lines = [line.strip(" │") for line in kajiya(group, "--help").output.splitlines()]

    assert all(line.count(f"kajiya {group} ") <= 1 for line in lines)
    assert sum(line.startswith(f"kajiya {group} ") for line in lines) == {"convert": 2, "judge": 1}[group]

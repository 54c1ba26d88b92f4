"""`kajiya chat` through a pipe: a line is a turn."""

import re

import pytest
from served_model import write_pair, write_tokenizer_of_corpus
from typer.testing import CliRunner

from kajiya.cli import app
from kajiya.serving.answer import Answer, Wish
from kajiya.serving.chat import Session
from kajiya.serving.decoding import Sampling
from kajiya.serving.models import open_model
from kajiya.serving.prompts import PromptTooLongError, chat_prompt, text_prompt


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return write_pair(folder, write_tokenizer_of_corpus(folder))


@pytest.fixture(scope="module")
def served(folders):
    return open_model(str(folders[0]))


def chat(folder, lines, *options):
    return CliRunner().invoke(app, ["chat", str(folder), "--max-tokens", "12", *options], input=lines)


def answer(served, *said, system=""):
    """What the model says after the messages by turns, the user first."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    if system:
        turns.insert(0, {"role": "system", "content": system})
    return shown(Answer(served, Wish(chat_prompt(served, turns), 12)))


def shown(answer):
    """Without what would move the cursor: random weights say such things."""
    return re.sub(r"[^\n\t -\x7e\xa0-\U0010ffff]", "", "".join(answer.text()))


def test_each_line_is_answered_knowing_the_turns_before(folders, served):
    first = answer(served, "札幌は")

    result = chat(folders[0], "札幌は\n\nでは那覇は\n")

    assert result.exit_code == 0
    assert result.stdout == f"{first}\n{answer(served, '札幌は', first, 'では那覇は')}\n"


def test_control_characters_of_a_model_do_not_reach_the_terminal(folders, served):
    said = "札幌は"  # random weights answer it with letters and control characters
    prompt = chat_prompt(served, [{"role": "user", "content": said}])
    control = set(map(chr, range(32))) - {"\n", "\t"}
    assert control & set("".join(Answer(served, Wish(prompt, 60)).text()))

    assert not control & set(chat(folders[0], said + "\n", "--max-tokens", "60").stdout)


def test_draft_changes_no_answer(folders):
    lines = "札幌は\n那覇は\n"

    assert chat(folders[0], lines, "--draft", str(folders[1])).stdout == chat(folders[0], lines).stdout


def test_seed_makes_a_sampled_answer_repeatable(folders):
    options = ("--temperature", "1", "--seed")
    said = [chat(folders[0], "札幌は\n", *options, seed).stdout for seed in ("1", "1", "2")]

    assert said[0] == said[1] != said[2]


def test_reset_and_system_begin_anew(folders, served):
    result = chat(folders[0], "札幌は\n/reset\n札幌は\n/system 短く。\n札幌は\n/system\n札幌は\n")

    plain, short = answer(served, "札幌は"), answer(served, "札幌は", system="短く。")
    assert result.stdout.splitlines() == [
        *plain.splitlines(),
        *plain.splitlines(),
        *short.splitlines(),
        *plain.splitlines(),
    ]


@pytest.mark.parametrize(
    "lines", ['"""\n札幌は\n\n広い\n"""\n', "札幌は\\\n\\\n広い\n"], ids=["block", "backslash"]
)
def test_turn_of_several_lines_is_one_turn(folders, served, lines):
    assert chat(folders[0], lines).stdout == answer(served, "札幌は\n\n広い") + "\n"


def test_quit_ends_and_help_and_unknown_commands_say_what_there_is(folders):
    result = chat(folders[0], "/hlep\n/help\n/quit\n札幌は\n")

    assert result.stdout == ""
    assert "/hlep: no such command" in result.stderr
    assert result.stderr.count("/system TEXT") == 2


def test_message_with_a_control_token_is_refused_and_the_conversation_goes_on(folders, served):
    result = chat(folders[0], "</s>\n札幌は\n")

    assert result.stdout == answer(served, "札幌は") + "\n"
    assert "error: a message holds </s>" in result.stderr


def test_full_context_forgets_the_oldest_turns(served):
    session = Session(served, Sampling(), 12)
    for number in range(6):
        said = f"{number}" + "札幌は広い。" * 12
        "".join(session.answer(said).text())
        session.keep(said, "はい")

    assert session.forgotten > 0
    assert session.turns[-1]["content"] == "はい"
    assert session.turns[0]["content"][0] != "0"


def test_turns_are_forgotten_while_there_is_still_room_for_an_answer(served):
    session = Session(served, Sampling(), max_tokens=10_000)
    for _ in range(12):
        answered = session.answer("札幌は広い。" * 4)
        assert served.context - len(answered.wish.prompt) >= served.context // 4
        session.keep("札幌は広い。" * 4, "はい")

    assert session.turns


def test_message_that_fills_the_context_alone_is_answered(served):
    length = next(n for n in range(400, 0, -1) if _fits(served, "札幌は広い。" * n))

    assert Session(served, Sampling(), 10_000).answer("札幌は広い。" * length).wish.prompt


def _fits(served, text):
    try:
        return chat_prompt(served, [{"role": "user", "content": text}])
    except PromptTooLongError:
        return None


def test_turn_that_is_not_text_is_left_out_and_the_talk_goes_on(folders, served):
    result = chat(folders[0], b"\xff\xfe\n" + "札幌は\n".encode())

    assert (result.exit_code, result.stdout) == (0, answer(served, "札幌は") + "\n")
    assert "this turn is not utf-8" in result.stderr.lower()


def test_memory_that_runs_out_costs_the_answer_alone(folders, served, monkeypatch):
    text = Answer.text

    def failing(self):
        if len(self.wish.prompt) > 30:
            yield "札"
            raise RuntimeError("out of memory")
        yield from text(self)

    monkeypatch.setattr(Answer, "text", failing)
    result = chat(folders[0], "長い。" * 30 + "\n札幌は\n")

    assert (result.exit_code, result.stdout) == (0, f"札\n{answer(served, '札幌は')}\n")
    assert "error: out of memory" in result.stderr


def test_model_without_a_template_continues_the_text_and_says_so(folders, served, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for path in folders[0].iterdir():
        if path.name != "chat_template.jinja":
            (base / path.name).symlink_to(path)
    first = shown(Answer(served, Wish(text_prompt(served, "札幌は"), 12)))
    second = shown(Answer(served, Wish(text_prompt(served, f"札幌は{first}那覇"), 12)))

    result = chat(base, "札幌は\n那覇\n")

    assert result.stdout == f"{first}\n{second}\n"
    assert "has no chat template" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere/model", "nowhere/model: no such folder, and no registered version"),
        (".", "no model here (config.json is missing)"),
        ("kajiya-smoke/3", "kajiya-smoke/3: nothing is registered"),
        ("kajiya-smoke@champion", "kajiya-smoke@champion: nothing is registered"),
        ("letter.txt", "letter.txt: a file"),
    ],
)
def test_model_that_is_not_there_is_one_error(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "letter.txt").write_text("私の")

    result = chat(name, "札幌は\n")

    assert result.exit_code == 2
    assert words in re.sub(r"\s+", " ", result.output)

"""Texts for the tests of the clean stage, and single texts through its parts."""

from collections import Counter

import pyarrow as pa

from components.clean.documents import without_boilerplate
from components.clean.lines import LineKind
from components.clean.measures import Batch
from components.clean.normalize import normalized
from components.clean.utf8 import decode, encode

PROSE = (
    "琵琶湖は滋賀県にある日本でいちばん大きな湖です。古くから人々の暮らしと水運を支えてきました。"
    "湖の面積は県の六分の一ほどで、四百あまりの川が流れ込みます。夏には水遊びをする家族でにぎわい、冬には渡り鳥が羽を休めます。"
)
OTHER_PROSE = (
    "松山の町には路面電車が走っています。坂の上には城があり、晴れた日には瀬戸内海の島々まで見渡せます。"
    "温泉に入ったあとは、みかんの味のする氷菓子を食べながら商店街をゆっくり歩くのが楽しみです。夜は早く休みます。"
)


def batch(*texts: str) -> Batch:
    """The texts normalised, ready to be measured."""
    decoded = decode(pa.array(texts, pa.large_string()))
    return Batch(normalized(decoded), decoded.damage)


def normalized_text(text: str) -> str:
    """One text normalised; it may hold lone surrogates, as `json.loads` makes them of `\\ud83d`."""
    raw = pa.array([text.encode("utf-8", "surrogatepass")], pa.large_binary())
    array = pa.LargeStringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    return normalized(decode(array)).points.tobytes().decode("utf-32-le")


def without_lines(text: str, *kinds: LineKind) -> tuple[str, Counter[str]]:
    """A text without boilerplate lines of these kinds, and the count by kind."""
    return _taken_out(text, kinds, mask_personal_data=False)


def masked(text: str) -> tuple[str, Counter[str]]:
    """A text without personal data, and the count by kind."""
    return _taken_out(text, (), mask_personal_data=True)


def _taken_out(text: str, kinds: tuple[LineKind, ...], mask_personal_data: bool) -> tuple[str, Counter[str]]:
    points, figures = without_boilerplate(batch(text).texts, kinds, mask_personal_data)
    return encode(points)[0].as_py(), +Counter({name.split(".")[1]: n for name, n in figures.items()})

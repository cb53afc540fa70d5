"""People are told where the words of texts are not those of the vocabulary or of the word vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.data.new.new_inputs import new_inputs
from nas.data.texts.known_words import without_blanks
from nas.data.texts.tokens import tokenised
from nas.data.texts.vocabulary import Vocabulary
from nas.tasks import TASKS

ENGLISH = ["good film , good end", "bad film , bad end"] * 10


def write(folder: Path, texts: list[str], **parts: list[str]) -> None:
    for part, content in {"train": texts, "test": texts, **parts}.items():
        rows = "".join(f'"{text}",{number % 2}\n' for number, text in enumerate(content))
        (folder / f"{part}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")


def warnings(folder: Path, settings: str = "") -> list[str]:
    return [note for note in TASKS.build(f"texts(root='.'{settings})", folder).notes if note.startswith("warning")]


def test_words_that_are_known_are_not_spoken_of(tmp_path: Path) -> None:
    write(tmp_path, ENGLISH, validation=["good film , fine end"])
    (tmp_path / "v.txt").write_text("good 1 2\nfilm 1 2\n, 1 2\n")
    assert warnings(tmp_path) == warnings(tmp_path, ",embeddings='v.txt'") == []


@pytest.mark.parametrize(
    "settings, parts, shares",
    [
        (",vocabulary='words.txt'", {}, ["40.0% of the tokens of training", "40.0% of the tokens of validation"]),
        ("", {"validation": ["guter film , gutes ende", "schlechter film"]}, ["42.9% of the tokens of validation"]),
        (",embeddings='v.txt'", {}, ["20.0% of the tokens of training have", "20.0% of the tokens of validation have"]),
        (",num_words=3", {}, ["20.0% of the tokens of training are words", "20.0% of the tokens of validation are words"]),
    ],
)
def test_few_known_words_are_told_by_part_and_share(
    tmp_path: Path, settings: str, parts: dict[str, list[str]], shares: list[str]
) -> None:
    write(tmp_path, ENGLISH, **{"validation": ENGLISH, **parts})
    (tmp_path / "words.txt").write_text("film\n,\ngutes\n")
    (tmp_path / "v.txt").write_text("film 1 2\nlos 1 2\n")
    told = warnings(tmp_path, settings)
    assert len(told) == len(shares) and all(share in note for share, note in zip(shares, told, strict=True)), told


@pytest.mark.parametrize(
    "text, told",
    [
        ("这部电影很好看，我喜欢。", True),
        ("这 部 电影 很 好看 ， 我 喜欢 。", False),
        ("この映画はとても良かった", True),
        ("この 映画 は とても 良かっ た コンピューター", False),
        ("ภาพยนตร์เรื่องนี้ดีมาก", True),
        ("ภาพยนตร์ เรื่อง นี้ ดี มาก", False),
        ("ဒီရုပ်ရှင်ကအရမ်းကောင်းတယ်", True),
        ("ខ្សែភាពយន្តនេះល្អណាស់", True),
        ("ຮູບເງົາເລື່ອງນີ້ດີຫຼາຍ", True),
        ("영화가 정말 좋았습니다", False),
        ("हिन्दी फिल्म अच्छी है", False),
        ("Donaudampfschifffahrtsgesellschaft", False),
        ("", False),
    ],
)
def test_scripts_without_blanks_are_told_unless_words_are_apart(text: str, told: bool) -> None:
    notes = without_blanks(Vocabulary(tuple(dict.fromkeys(tokenised(text, 99)))))
    assert bool(notes) == told and all("need blanks between words" in note for note in notes)


def test_a_task_and_predict_tell_too(tmp_path: Path) -> None:
    write(tmp_path, ["这部电影很好看", "这是糟糕的故事"] * 10)
    assert any("need blanks between words" in note for note in warnings(tmp_path))
    inputs = TASKS.build("texts(root='.')", tmp_path).inputs
    path = tmp_path / "new.csv"
    path.write_text("text\n这部电影很好看\n另一句话\nnever heard\n", encoding="utf-8")
    assert ["25.0% of the tokens of new.csv" in note for note in new_inputs(path, inputs).notes] == [True]
    path.write_text("text\n这部电影很好看\n", encoding="utf-8")
    assert new_inputs(path, inputs).notes == ()

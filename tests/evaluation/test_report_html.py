"""The page needs no other file and shows every name as text."""

import base64
import re
from html.parser import HTMLParser

import numpy as np

from voc_tfdata.evaluation.report_html import format_html
from voc_tfdata.evaluation.summary import summarize_predictions

NAMES = ('<b>"cat"&', "bus", "猫")
Y_TRUE = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, -1, 0]])
Y_SCORE = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.7, 0.1, 0.2], [0.1, 0.9, 0.4]])


class Page(HTMLParser):
    """Collects the tags with their attributes, and the text; checks that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(scores=Y_SCORE, pictures=None, **kwargs):
    summary = summarize_predictions(Y_TRUE, scores, NAMES, split="test <1>")
    return Page(format_html(summary, pictures or {}, **kwargs))


def test_pictures_are_inside_and_nothing_is_fetched():
    page = page_of(pictures={"Curves & more": [("loss", b"\x89PNG 1")], "Grid": [("grid", b"\x89PNG 2")]})
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert [base64.b64decode(src.removeprefix("data:image/png;base64,")) for src in sources] == [
        b"\x89PNG 1",
        b"\x89PNG 2",
    ]
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]  # one, of our own, inside: it sorts tables
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "a", "iframe", "object"})
    assert not re.search(r"https?:|url\(|@import", "".join(page.text))


def test_names_and_flags_are_shown_as_text_and_never_become_tags():
    page = page_of(flags_text="--out_dir=</pre><script>\n")
    assert all(name in page.text for name in NAMES)
    assert "--out_dir=</pre><script>" in page.text
    assert "Evaluation on test <1>" in page.text
    assert "b" not in {tag for tag, _ in page.tags}


def test_the_headline_is_the_mean_with_its_definition_beside_chance():
    text = " ".join(page_of().text)
    assert re.search(r"mAP, voc2010, 2 of 3 classes\s+0\.667\s+random scores: 0\.\d{3}; 95 % of resampled ", text)
    assert re.search(r"class frequencies alone: undefined", text)  # no training counts
    assert "all absent: 0.7273" in text  # 8 of 11 cells


def test_the_class_table_has_a_row_a_class_and_says_undefined():
    cells = [word for word in page_of().text if word.strip()]
    start = cells.index(NAMES[0])
    assert cells[start : start + 4] == [NAMES[0], "2", "0", "0.833"]
    bus = cells.index("bus", start)
    assert cells[bus : bus + 5] == ["bus", "0", "1", "undefined", "undefined"]


def test_warnings_stand_above_the_numbers():
    text = " ".join(page_of(scores=np.full((4, 3), 0.3)).text)
    assert 0 < text.index("collapsed") < text.index("--batch_norm") < text.index("mAP, voc2010")


def test_what_was_evaluated_is_shown_and_mAP_keeps_its_letters():
    page = page_of(facts={"data set": "records/<x>", "best epoch": "3"})
    assert "records/<x>" in page.text and "best epoch" in page.text
    assert "text-transform" not in "".join(page.text)


def test_what_is_taken_for_what_is_a_table_of_pairs():
    cells = [word for word in page_of().text if word.strip()]
    start = cells.index(
        "of those that show it"
    )  # the cat shows 0.7 in the image of the third class, the bus in it, too
    assert cells[start + 1 : start + 9] == ["猫", NAMES[0], "1", "100%", "猫", "bus", "1", "100%"]


def test_without_flags_there_is_no_section_for_them():
    assert "Flags" in page_of(flags_text="--epochs=1").text
    assert "Flags" not in page_of(flags_text=" \n").text

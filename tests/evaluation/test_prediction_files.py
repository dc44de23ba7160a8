"""predictions.csv and the submission files: ids travel with scores, and no score loses a digit."""

import csv

import numpy as np
import pytest

from voc_tfdata.evaluation import prediction_files

NAMES = ("cat", "dog, wild")
IDS = ["2007_000027", "my photo, 1", b"2008_000008"]
Y_TRUE = np.array([[1, -1], [0, 1], [1, 1]])
Y_SCORE = np.array([[0.75, 0.5], [1e-12, 0.1], [0.51, 0.9999999]], np.float32)


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_csv_holds_labels_and_scores_of_each_id(tmp_path):
    prediction_files.write_predictions_csv(tmp_path / "p.csv", IDS, Y_TRUE, Y_SCORE, NAMES)
    lines = read_csv(tmp_path / "p.csv")
    assert [line["id"] for line in lines] == ["2007_000027", "my photo, 1", "2008_000008"]
    assert [line["true"] for line in lines] == ["cat", "dog, wild", "cat; dog, wild"]
    assert [line["predicted"] for line in lines] == ["cat", "", "cat; dog, wild"]  # 0.5 is not above 0.5
    for c, name in enumerate(NAMES):
        assert [int(line[f"label_{name}"]) for line in lines] == Y_TRUE[:, c].tolist()
        assert [np.float32(line[f"score_{name}"]) for line in lines] == Y_SCORE[:, c].tolist()
    assert lines[1]["score_dog, wild"] == "0.1"  # not 0.10000000149


def test_predictions_of_pictures_without_truth_have_no_label_columns(tmp_path):
    prediction_files.write_predictions_csv(tmp_path / "p.csv", IDS, None, Y_SCORE, NAMES)
    assert list(read_csv(tmp_path / "p.csv")[0]) == ["id", "predicted", "score_cat", "score_dog, wild"]


def test_submission_files_have_an_id_and_a_score_a_line(tmp_path):
    paths = prediction_files.write_submission_files(tmp_path / "new", "test", IDS, Y_SCORE, NAMES)
    assert [path.name for path in paths] == ["comp1_cls_test_cat.txt", "comp1_cls_test_dog, wild.txt"]
    assert paths[0].read_bytes() == b"2007_000027 0.75\nmy photo, 1 0.000000000001\n2008_000008 0.51\n"


def test_scores_are_written_without_exponent_and_read_back_the_same(tmp_path):
    scores = np.random.default_rng(0).random((500, 1), np.float32) ** 20  # down to 1e-40
    ids = [f"{i:06d}" for i in range(500)]
    (path,) = prediction_files.write_submission_files(tmp_path, "val", ids, scores, ["cat"])
    fields = [line.split(" ") for line in path.read_text().splitlines()]
    assert [np.float32(field[1]) for field in fields] == scores[:, 0].tolist()
    assert not any("e" in field[1] for field in fields)


def test_names_that_a_file_cannot_have_are_escaped(tmp_path):
    paths = prediction_files.write_submission_files(tmp_path, "a/b", ["x"], [[0.1, 0.2]], ["car/van", "car%2Fvan"])
    assert [path.name for path in paths] == ["comp1_cls_a%2Fb_car%2Fvan.txt", "comp1_cls_a%2Fb_car%252Fvan.txt"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_an_id_that_utf8_cannot_hold_is_escaped(tmp_path):
    (path,) = prediction_files.write_submission_files(
        tmp_path,
        "test",
        [
            b"a\xff",
        ],
        [[0.5]],
        ["cat"],
    )
    assert path.read_text() == "a\\xff 0.5\n"
    prediction_files.write_predictions_csv(tmp_path / "p.csv", ["a\udcff"], None, [[0.5]], ["cat"])
    assert read_csv(tmp_path / "p.csv")[0]["id"] == "a\\udcff"


@pytest.mark.parametrize(
    ("ids", "scores", "message"),
    [
        (["a"], [[0.1], [0.2]], "1 ids for 2 rows"),
        (["a\nb"], [[0.1]], "'a.nb' is empty or has a line break"),
        ([""], [[0.1]], "'' is empty"),
        (["a"], [[0.1, 0.2]], r"y_score has shape \(1, 2\); expected \[N, 1\]"),
    ],
)
def test_ids_and_scores_that_do_not_fit_are_refused(tmp_path, ids, scores, message):
    with pytest.raises(ValueError, match=message):
        prediction_files.write_submission_files(tmp_path, "test", ids, scores, ["cat"])
    assert list(tmp_path.iterdir()) == []


def test_predictions_with_rows_missing_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"2 ids, y_score \(3, 2\), y_true \(3, 2\)"):
        prediction_files.write_predictions_csv(tmp_path / "p.csv", IDS[:2], Y_TRUE, Y_SCORE, NAMES)
    with pytest.raises(ValueError, match=r"3 ids, y_score \(3, 2\), y_true \(2, 2\)"):
        prediction_files.write_predictions_csv(tmp_path / "p.csv", IDS, Y_TRUE[:2], Y_SCORE, NAMES)


def test_a_file_is_replaced_whole_and_a_failed_write_leaves_nothing_behind(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    prediction_files.write_file(path, "one")
    prediction_files.write_file(path, b"two")
    assert path.read_bytes() == b"two"
    (tmp_path / "taken" / "in").mkdir(parents=True)
    with pytest.raises(OSError):
        prediction_files.write_file(tmp_path / "taken", "x")  # a folder has the name
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.txt", "folder", "in", "taken"]


def test_models_with_pretrained_weights_go_into_the_second_competition(tmp_path):
    paths = prediction_files.write_submission_files(tmp_path, "test", ["a"], [[0.5]], ["cat"], competition=2)
    assert [path.name for path in paths] == ["comp2_cls_test_cat.txt"]


def test_a_text_that_a_spreadsheet_takes_for_a_formula_is_defused(tmp_path):
    ids = ["=cmd()", "+1+1", "-x", "@sum", "plain"]
    prediction_files.write_predictions_csv(tmp_path / "p.csv", ids, [[-1]] * 5, [[0.5]] * 5, ["=cat"])
    rows = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()]
    assert [row[0] for row in rows[1:]] == ["'=cmd()", "'+1+1", "'-x", "'@sum", "plain"]
    assert rows[1][3] == "-1"  # a label stays a number

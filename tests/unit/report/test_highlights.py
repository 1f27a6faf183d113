import pandas as pd

from colorpipe.report.highlights import highlights


def test_three_sentences_per_data_set():
    rows = [
        ("pale", "photos", 120.0, 14.0),
        ("vivid", "photos", 150.0, 29.0),
        ("garish", "photos", 160.0, 45.0),
        ("gray baseline", "photos", 180.0, 0.0),
        ("original", "photos", None, 30.6),
        ("large", "photos96", 130.0, 20.0),
    ]
    table = pd.DataFrame(rows, columns=["colorizer", "data", "ab MSE", "colorfulness"])
    assert highlights(table.assign(n=5)) == [
        "On photos (5 test images), pale has the lowest ab MSE, 120.0. "
        "vivid is nearest to the originals' colorfulness of 30.6, with 29.0. "
        "The gray baseline has an ab MSE of 180.0 and a colorfulness of 0.0.",
        "On photos96 (5 test images), large has the lowest ab MSE, 130.0.",
    ]

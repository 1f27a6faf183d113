import pandas as pd

from colorpipe.report.highlights import highlights


def test_each_data_set_has_up_to_three_sentences():
    rows = [
        ("pale", "photos", 120.0, 14.0),
        ("vivid", "photos", 150.0, 29.0),
        ("garish", "photos", 160.0, 45.0),
        ("gray baseline", "photos", 180.0, 0.0),
        ("original", "photos", None, 30.6),
        ("large", "photos96", 130.0, 20.0),
    ]
    table = pd.DataFrame(rows, columns=["colorizer", "data", "ab MSE", "colorfulness"])
    assert highlights(table) == {
        "photos": [
            "**pale** has the lowest error: a mean squared error of **120.0** in the color "
            "channels a and b (ab MSE).",
            "**vivid** has the colorfulness nearest to the originals': **29.0**, while the "
            "originals have 30.6.",
            "The **gray baseline**, which predicts a = b = 0, has an ab MSE of **180.0** and a "
            "colorfulness of 0.0.",
        ],
        "photos96": [
            "**large** has the lowest error: a mean squared error of **130.0** in the color "
            "channels a and b (ab MSE).",
        ],
    }

"""A page to try the colorizers: a photograph in gray and in color, with a slider between them.

A preview comes first, then the photograph at its full resolution, to download.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio
import numpy as np
from PIL import Image

from colorpipe import weights
from colorpipe.app import colorize, decoding, model_zoo
from colorpipe.data import images
from colorpipe.data.dataset import Array
from colorpipe.runtime.errors import UserError

PREVIEW_SIDE = 1600  # pixels
CACHE_TIME = 3600  # seconds for which the server keeps uploads and results
INTRODUCTION = (
    "# colorpipe\nA network predicts the colors of a photograph from its lightness. "
    "The photograph may be gray or in color."
)
DOWNLOAD = "Download at full resolution"
VIVIDNESS = "Vividness: 0 is faithful, 1 is vivid"

Outputs = tuple[Any, Any, Any]  # updates of the preview, the download and the vividness


def serve(folder: Path, port: int) -> None:
    """Serve the page at 127.0.0.1 until it is interrupted.

    Args:
        folder: The folder of the trained colorizers.
        port: The port of the page.

    Raises:
        UserError: The port cannot be used.
    """
    # The other themes load their fonts from the internet.
    theme = gradio.themes.Base(font=["system-ui"], font_mono=["monospace"])
    with tempfile.TemporaryDirectory(prefix="colorpipe-") as downloads:
        page = build_page(model_zoo.list_colorizers(folder), Path(downloads))
        # gradio visits the page once, which must not go through a proxy.
        proxied = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = ",".join(filter(None, (proxied, "127.0.0.1")))
        try:
            page.launch(server_name="127.0.0.1", server_port=port, theme=theme, footer_links=[])
        except OSError as error:
            raise UserError(f"port {port} cannot be used: use another --port") from error


def build_page(models: dict[str, Path], downloads: Path) -> gradio.Blocks:
    """Return the page.

    Args:
        models: The weight files of the colorizers by name.
        downloads: A folder for the photographs at full resolution.
    """
    page = gradio.Blocks(
        title="colorpipe", analytics_enabled=False, delete_cache=(CACHE_TIME, CACHE_TIME)
    )
    with page:
        gradio.Markdown(INTRODUCTION)
        with gradio.Row():
            with gradio.Column(scale=1):
                # gradio.Image would decode the file itself, instead of images.read.
                file = gradio.File(label=f"Photograph: {images.KINDS}", height=140)
                name = gradio.Dropdown(list(models), value=weights.BUNDLED, label="Colorizer")
                vividness = _make_slider(find_start_vividness(models[weights.BUNDLED]))
                download = gradio.DownloadButton(DOWNLOAD, interactive=False)
            with gradio.Column(scale=2):
                slider = gradio.ImageSlider(label="Gray and color, a preview", format="png")
        outputs = [slider, download, vividness]
        handler = _make_handler(models, downloads)
        name.change(handler, [file, name], outputs, trigger_mode="always_last")
        for event in (file.change, vividness.release):
            event(handler, [file, name, vividness], outputs, trigger_mode="always_last")
    return page


def find_start_vividness(path: Path) -> float | None:
    """Return the vividness at which a colorizer's slider starts, or None if it has no slider.

    The slider starts at the point of the path that is nearest to the decoding used in the
    evaluation. At this point, the decoding of the evaluation itself is used. There is no slider if
    the colorizer has no path from faithful to vivid, or a path of a single decoding.

    Args:
        path: The weight file.
    """
    metadata = weights.load_metadata(path)
    decodings = decoding.load_vividness_path(path, metadata)
    if len(set(decodings)) < 2:
        return None
    return decoding.find_vividness(decodings, decoding.load_evaluated_decoding(path, metadata))


def _make_slider(start: float | None) -> gradio.Slider:
    value, visible = start or 0, start is not None
    return gradio.Slider(
        0, 1, value, step=0.05, label=VIVIDNESS, interactive=True, visible=visible, buttons=[]
    )


def _make_handler(models: dict[str, Path], downloads: Path) -> Callable[..., Iterator[Outputs]]:
    """Return a function that yields the preview of a photograph, then its download."""
    previous: list[Path] = []  # the download that the next one replaces

    def colorize_photograph(
        file: str | None, name: str, vividness: float | None = None
    ) -> Iterator[Outputs]:
        """Colorize a file. Without a vividness, move the slider to the colorizer's start value."""
        no_download = gradio.DownloadButton(DOWNLOAD, value=None, interactive=False)
        target = downloads / f"{Path(file or '').stem}-{name}.png"
        try:
            start = find_start_vividness(models[name])
            if vividness is None:
                yield gradio.skip(), gradio.skip(), _make_slider(start)
            if file is None:
                yield None, no_download, gradio.skip()
                return
            photograph = images.read(Path(file))
            for note in photograph.notes:
                gradio.Info(note)
            if start is None or vividness == start:
                vividness = None  # the decoding of the evaluation, as in `colorpipe colorize`
            model, size = colorize.load_model(models[name], "auto", vividness)
            preview = make_preview(photograph.rgb)
            pair = (colorize.to_gray(preview), colorize.colorize(model, preview, size))
            yield pair, no_download, gradio.skip()
            colored = colorize.colorize(model, photograph.rgb, size)
            while previous:  # gradio has its own copy
                previous.pop().unlink(missing_ok=True)
            previous.append(target)
            images.write(target, colored, photograph.alpha, photograph.metadata)
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from None
        final = gradio.DownloadButton(DOWNLOAD, value=str(target), interactive=True)
        yield gradio.skip(), final, gradio.skip()

    return colorize_photograph


def make_preview(rgb: Array) -> Array:
    """Return an image (H, W, 3) uint8 with at most PREVIEW_SIDE pixels per side."""
    image = Image.fromarray(rgb)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return np.array(image)

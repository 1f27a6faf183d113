"""A page to try the colorizers: drop a photograph, choose a colorizer, compare gray and color with a slider.

A preview comes first; then the photograph is colorized at its full resolution, to download.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from colorpipe import weights
from colorpipe.app import colorize, model_zoo
from colorpipe.color import bins
from colorpipe.data import images
from colorpipe.data.dataset import Array
from colorpipe.models.colorizer import Colorizer
from colorpipe.runtime.errors import UserError

if TYPE_CHECKING:
    import gradio

PREVIEW_PIXELS = 2_000_000
DOWNLOAD = "Download at full resolution"
Tell = Callable[[float, str], object]  # the share of the work that is done, and what comes now


def preview(
    path: Path, model_path: Path, temperature: float, tell: Tell
) -> tuple[Array, Array, tuple[str, ...]]:
    """A photograph of at most PREVIEW_PIXELS pixels in gray and in color, (H, W, 3) uint8, and notes on reading it."""
    tell(0.2, "reading")
    photograph = images.read(path)
    tell(0.6, "colorizing a preview")
    small = shrink(photograph.rgb)
    model, size = load(model_path, temperature)
    return colorize.to_gray(small), colorize.colorize(model, small, size), photograph.notes


def full(path: Path, model_path: Path, temperature: float, target: Path, tell: Tell) -> None:
    """Write the colorized photograph at its full resolution."""
    tell(0.1, "reading")
    photograph = images.read(path)
    tell(
        0.3, f"colorizing {photograph.rgb.shape[0] * photograph.rgb.shape[1] / 1e6:.1f} megapixels"
    )
    model, size = load(model_path, temperature)
    colored = colorize.colorize(model, photograph.rgb, size)
    tell(0.7, "writing")
    images.write(target, colored, photograph.alpha)


def load(model_path: Path, temperature: float) -> tuple[Colorizer, int]:
    """A colorizer and its size; the temperature is of one with a head over the 313 bins, others have none."""
    return colorize.load(model_path, "auto", temperature if temperature_of(model_path) else None)


def temperature_of(model_path: Path) -> float | None:
    """At which a colorizer that predicts shares of the 313 ab bins is decoded; None of any other."""
    metadata = weights.load_metadata(model_path)
    return (
        float(metadata.get("temperature", bins.TEMPERATURE))
        if metadata.get("head") == "bins"
        else None
    )


def shrink(rgb: Array) -> Array:
    """An image (H, W, 3) uint8 with at most PREVIEW_PIXELS pixels; a small one unchanged."""
    scale = (PREVIEW_PIXELS / (rgb.shape[0] * rgb.shape[1])) ** 0.5
    if scale >= 1:
        return rgb
    size = (max(1, int(rgb.shape[1] * scale)), max(1, int(rgb.shape[0] * scale)))
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))


def build(folder: Path, results: Path, default: str) -> "gradio.Blocks":
    """The page over the bundled colorizers and those in a folder of folders.

    Args:
        folder: of the trained colorizers.
        results: a folder for the files to download.
        default: the colorizer that is chosen at first.

    Raises:
        UserError: gradio is missing.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise UserError(f"the demo needs {error.name}: pip install 'colorpipe[demo]'") from None

    models = model_zoo.find(folder)

    def slider(name: str) -> Any:
        found = temperature_of(models[name])
        label = "Temperature: toward 1 calmer, toward 0 more vivid"
        return gradio.Slider(
            0.05, 1.0, found or bins.TEMPERATURE, step=0.01, label=label, visible=found is not None
        )

    with gradio.Blocks(title="colorpipe", delete_cache=(3600, 3600)) as page:
        gradio.Markdown(
            "# colorpipe\nDrop a photograph, gray or not: it keeps its lightness, and a network predicts the colors."
        )
        with gradio.Row():
            with gradio.Column(scale=1):
                # The file itself: gradio's Image would decode it.
                given = gradio.File(label=f"Photograph: {images.KINDS}", height=140)
                model = gradio.Dropdown(list(models), value=default, label="Colorizer")
                temperature = slider(default)
                download = gradio.DownloadButton(DOWNLOAD, interactive=False)
            with gradio.Column(scale=2):
                result = gradio.ImageSlider(
                    label="Gray and color, a preview", interactive=False, format="png"
                )
        model.change(slider, model, temperature)
        paint = painter(models, results)
        for change in (given.change, model.change, temperature.change):
            change(
                paint, [given, model, temperature], [result, download], trigger_mode="always_last"
            )
    assert isinstance(page, gradio.Blocks)
    return page


def painter(models: dict[str, Path], results: Path) -> Callable[..., Iterator[tuple[Any, Any]]]:
    """What the page does with a photograph, a colorizer and a temperature: a preview, then the file to download.

    One event gives both, so that picture and file are always of the same photograph and colorizer.
    """
    import gradio

    progress = gradio.Progress()

    @contextlib.contextmanager
    def shown_errors() -> Iterator[None]:
        try:
            yield
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    def paint(
        path: str | None, name: str, T: float, progress: Any = progress
    ) -> Iterator[tuple[Any, Any]]:
        not_yet = gradio.DownloadButton(DOWNLOAD, value=None, interactive=False)
        if path is None:
            yield None, not_yet
            return
        with shown_errors():
            gray, colored, notes = preview(Path(path), models[name], T, progress)
        for note in notes:
            gradio.Info(note)
        yield (gray, colored), not_yet
        target = results / f"{Path(path).stem}-{name}.png"
        with shown_errors():
            full(Path(path), models[name], T, target, progress)
        yield (
            gradio.skip(),
            gradio.DownloadButton(f"{DOWNLOAD} (PNG)", value=str(target), interactive=True),
        )

    return paint


def serve(folder: Path, port: int) -> None:
    """Serve the page on this machine alone until it is interrupted."""
    with tempfile.TemporaryDirectory(prefix="colorpipe-") as results:
        page = build(folder, Path(results), model_zoo.best(folder, model_zoo.DEFAULT))
        import gradio

        theme = gradio.themes.Base(
            font=["system-ui"], font_mono=["monospace"]
        )  # other themes fetch their fonts
        try:
            page.launch(server_name="127.0.0.1", server_port=port, theme=theme, footer_links=[])
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used, another program may have it: use another --port"
            ) from error

"""A page to try the trained colorizers on: drop a photograph, choose one, see gray and colour under a slider."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from colorpipe import catalogue, colorize, photographs
from colorpipe.errors import UserError

if TYPE_CHECKING:
    import gradio
    import numpy as np


def build(folder: Path) -> "gradio.Blocks":
    """The page over the colorizers in a folder of folders. Raises UserError where gradio or the colorizers are missing."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise UserError(f"the demo needs {error.name}: pip install 'colorpipe[demo]'") from None

    names = catalogue.names(folder)

    def paint(path: str | None, name: str) -> "tuple[np.ndarray, np.ndarray] | None":
        if path is None:
            return None
        try:
            photograph = photographs.read(Path(path))
            model, size = colorize.load(folder / name / "best.safetensors", "auto")
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from None
        for note in photograph.notes:
            gradio.Info(note)
        picture = colorize.colorize(model, photograph.rgb, size)
        return colorize.in_gray(photograph.rgb), picture

    with gradio.Blocks(title="colorpipe") as page:
        gradio.Markdown("# colorpipe\nDrop a photograph, gray or not: its lightness stays, a network gives the colours.")
        with gradio.Row():
            with gradio.Column(scale=1):
                given = gradio.File(label="Photograph: JPEG, PNG, WebP or TIFF", height=140)  # as it is: Image decodes it
                default = "resnet" if "resnet" in names else names[0]
                model = gradio.Dropdown(names, value=default, label="Colorizer")
            with gradio.Column(scale=2):
                result = gradio.ImageSlider(label="Gray and colour", interactive=False, format="png")
        for change in (given.change, model.change):
            change(paint, [given, model], result)
    return page


def serve(folder: Path, port: int) -> None:
    """Serve the page on this machine alone until it is interrupted."""
    page = build(folder)
    import gradio

    theme = gradio.themes.Base(font=["system-ui"], font_mono=["monospace"])  # others fetch their fonts
    page.launch(server_name="127.0.0.1", server_port=port, theme=theme, footer_links=[])

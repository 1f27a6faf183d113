"""A page to try the trained colorizers: drop a photograph, choose a colorizer, compare gray and color with a slider."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from colorpipe.app import colorize, model_zoo
from colorpipe.data import images
from colorpipe.data.base import Array
from colorpipe.runtime.errors import UserError

if TYPE_CHECKING:
    import gradio


def build(folder: Path) -> "gradio.Blocks":
    """The page over the colorizers in a folder of folders. Raises UserError where gradio or the colorizers are missing."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise UserError(f"the demo needs {error.name}: pip install 'colorpipe[demo]'") from None

    names = model_zoo.names(folder)

    def paint(path: str | None, name: str) -> tuple[Array, Array] | None:
        if path is None:
            return None
        try:
            photograph = images.read(Path(path))
            model, size = colorize.load(folder / name / "best.safetensors", "auto")
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from None
        for note in photograph.notes:
            gradio.Info(note)
        return colorize.to_gray(photograph.rgb), colorize.colorize(model, photograph.rgb, size)

    with gradio.Blocks(title="colorpipe") as page:
        gradio.Markdown(
            "# colorpipe\nDrop a photograph, gray or not: it keeps its lightness, and a network predicts the colors."
        )
        with gradio.Row():
            with gradio.Column(scale=1):
                given = gradio.File(
                    label="Photograph: JPEG, PNG, WebP or TIFF", height=140
                )  # the file itself: gradio's Image would decode it
                default = "resnet" if "resnet" in names else names[0]
                model = gradio.Dropdown(names, value=default, label="Colorizer")
            with gradio.Column(scale=2):
                result = gradio.ImageSlider(label="Gray and color", interactive=False, format="png")
        for change in (given.change, model.change):
            change(paint, [given, model], result)
    assert isinstance(page, gradio.Blocks)
    return page


def serve(folder: Path, port: int) -> None:
    """Serve the page on this machine alone until it is interrupted."""
    page = build(folder)
    import gradio

    theme = gradio.themes.Base(font=["system-ui"], font_mono=["monospace"])  # other themes fetch their fonts
    page.launch(server_name="127.0.0.1", server_port=port, theme=theme, footer_links=[])

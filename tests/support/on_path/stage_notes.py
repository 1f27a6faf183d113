"""Notes of the modules, files and parameters that a stage of a pipeline under test uses.

The stage writes them to $COLORPIPE_TRACE/<stage and its arguments>.json when it ends.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
from pathlib import Path

ROOT = Path.cwd()
STAGE = f"{sys.orig_argv[2].replace('.', '/')}.py"
read: set[str] = set()
keys: set[str] = set()


def note_file(path: object) -> None:
    path = Path(os.fsdecode(path)).absolute()
    if path.is_relative_to(ROOT) and path.suffix not in (".py", ".pyc") and path.is_file():
        read.add(path.relative_to(ROOT).as_posix())


def on_event(event: str, args: tuple) -> None:
    if (
        event == "open"
        and isinstance(args[0], str | bytes)
        and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
    ):
        note_file(args[0])


def watch_weights(module: object) -> None:
    """Note the weight files, because safetensors opens them outside of Python."""
    original = module.safe_open

    def safe_open(path: object, **options: object) -> object:
        note_file(path)
        return original(path, **options)

    module.safe_open = safe_open


def watch_params(module: object) -> None:
    """Note each parameter that is read after params.yaml has been validated."""
    names: dict[int, str] = {}
    alive: list[object] = []  # keeps the ids of the loaded sections unique
    original_load, original_get = module.load_params, module.Strict.__getattribute__
    original_validate = module.validate_section

    class Noted(dict):
        """A dictionary of parameters that notes which of them are read."""

        def __init__(self, content: dict, prefix: str) -> None:
            super().__init__(content)
            self.prefix = prefix

        def __getitem__(self, key: str) -> object:
            value = super().__getitem__(key)
            if isinstance(value, dict) and value:
                return Noted(value, f"{self.prefix}{key}.")
            if not isinstance(value, module.Strict):
                keys.add(self.prefix + key)
            return value

        def items(self) -> object:
            return [(key, self[key]) for key in self]

        def get(self, key: str, default: object = None) -> object:
            return self[key] if key in self else default  # noqa: SIM401 - it notes the key

    def validate(config: object, settings: object, where: str) -> object:
        if isinstance(settings, Noted):
            settings.items()  # pydantic reads the values without `__getitem__`
        return original_validate(config, settings, where)

    def name_all(model: object, prefix: str) -> None:
        names[id(model)] = prefix
        for field in type(model).model_fields:
            value = original_get(model, field)
            if isinstance(value, module.Strict):
                name_all(value, f"{prefix}{field}.")
            elif isinstance(value, dict):
                original_get(model, "__dict__")[field] = Noted(value, f"{prefix}{field}.")
                for key, inner in value.items():
                    if isinstance(inner, module.Strict):
                        name_all(inner, f"{prefix}{field}.{key}.")

    def get(self: object, attribute: str) -> object:
        value = original_get(self, attribute)
        if id(self) in names:
            if attribute in type(self).model_fields and not isinstance(value, module.Strict | dict):
                keys.add(names[id(self)] + attribute)
            if attribute == "model_dump":
                keys.update(names[id(self)] + field for field in type(self).model_fields)
        return value

    def load(*args: object) -> object:
        loaded = original_load(*args)
        alive.append(loaded)
        name_all(loaded, "")
        return loaded

    module.load_params, module.Strict.__getattribute__ = load, get
    module.validate_section = validate


WATCHED = {"colorpipe.weights": watch_weights, "colorpipe.config": watch_params}


class Watcher(importlib.abc.MetaPathFinder):
    """A finder that loads the watched modules as usual and then patches them."""

    def find_spec(
        self, name: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in WATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module: object) -> None:
            execute(module)
            WATCHED[name](module)

        spec.loader.exec_module = exec_module
        return spec


def write() -> None:
    modules = {STAGE}
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None)
        if (
            name.split(".")[0] in ("colorpipe", "stages")
            and file
            and Path(file).is_relative_to(ROOT)
        ):
            modules.add(Path(file).relative_to(ROOT).as_posix())
    note = {"modules": sorted(modules), "read": sorted(read), "keys": sorted(keys)}
    (
        Path(os.environ["COLORPIPE_TRACE"])
        / ("_".join(sys.orig_argv[2:]).replace("/", "-") + ".json")
    ).write_text(json.dumps(note))


def start() -> None:
    """Start to note what this process uses, before it imports anything of the project."""
    sys.addaudithook(on_event)
    sys.meta_path.insert(0, Watcher())

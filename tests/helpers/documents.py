"""The commands, links and names of a Markdown page, and which of them do not exist."""

import contextlib
import functools
import importlib
import io
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from tests.helpers.tiny import ROOT
from training.runs import run_config

# Commands of others. Of python and make everything is checked.
FOREIGN = {
    "apt", "apt-get", "brew", "cd", "git", "nvidia-smi", "pre-commit", "source", "tensorboard",
    "xcode-select",
}  # fmt: skip
# What a page has the reader make, and what stands in for it here.
MADE_BY_THE_READER = {"data=mine": ["data=facades", "data.root=mine"]}
READERS_FILES = {"configs/data/mine.yaml"}
FOLDERS = "configs|data|docs|losses|metrics|models|scripts|tests|training"
SUFFIXES = "bmp|jpg|json|jsonl|keras|log|md|pb|png|py|toml|txt|yaml"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^(?: {4}|\t).*\n?)+", re.MULTILINE)
OURS = re.compile(r"(\w+=\S+ )*!?(python3?|make) [\w./-]")


class Page:
    """One page of Markdown.

    Args:
        path: where it lies; its links start from there.
        text: what it holds; None = the file's own text.
    """

    def __init__(self, path: Path, text: str | None = None):
        self.path = path
        text = path.read_text() if text is None else text
        fenced = FENCE.findall(text)
        self.prose = INDENTED.sub("", FENCE.sub("", text))
        self.shells = [block for language, block in fenced if language == "bash"]
        self.blocks = [block for _, block in fenced] + INDENTED.findall(FENCE.sub("", text))
        self.spans = list(dict.fromkeys(re.findall(r"`([^`\n]+)`", self.prose)))

    def commands(self) -> list[list[str]]:
        """Words of every line of the shell blocks, and of every other command of ours."""
        found = [line for block in self.shells for line in lines(block)]
        others = [line for block in self.blocks for line in lines(block)] + self.spans
        found += [line for line in others if OURS.match(line)]
        return [shlex.split(line, comments=True) for line in dict.fromkeys(found)]

    def links(self) -> list[str]:
        """Targets of links and images inside the repository."""
        targets = re.findall(r"\]\(([^)\s]+)\)", self.prose)
        return [target for target in targets if not re.match(r"[a-z]+:", target)]

    def anchors(self) -> set[str]:
        """What a link may name after "#"."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings}

    def mistakes(self) -> list[str]:
        """What is wrong on the page, one sentence each."""
        found = [text for words in self.commands() for text in command_mistakes(words)]
        found += [text for span in self.spans for text in span_mistakes(span)]
        return found + [text for link in self.links() for text in link_mistakes(self, link)]


def lines(block: str) -> list[str]:
    """The commands of a block, continued lines joined, comments and empty lines left out."""
    joined = block.replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.strip().startswith("#")]


# --- commands ---------------------------------------------------------------------------------


def command_mistakes(words: list[str]) -> list[str]:
    words = [words[0].lstrip("!"), *words[1:]]
    while re.fullmatch(r"[A-Z_]+=.*|sudo", words[0]):  # variables of the environment
        words = words[1:]
    if words[0] == "make":
        return make_mistakes(words[1:])
    if words[0] in ("python", "python3"):
        return python_mistakes(words[1:])
    known = words[0] in FOREIGN
    return [] if known else [f"Expected a known command. Received: {' '.join(words)}"]


def make_mistakes(arguments: list[str]) -> list[str]:
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", text, re.MULTILINE)
    found = []
    for word in arguments:
        name, is_setting, value = word.partition("=")
        if not is_setting and name not in targets:
            found.append(f"Expected a target of the Makefile. Received: make {name}")
        elif is_setting and f"$({name}" not in text:
            found.append(f"Expected a setting of the Makefile. Received: {word}")
        elif name == "ARGS" and "train" in arguments:
            found += python_mistakes(["train.py", *shlex.split(value)])
    return found


def python_mistakes(arguments: list[str]) -> list[str]:
    script, rest = arguments[0], arguments[1:]
    if script == "-c":
        compile(rest[0], "<documentation>", "exec")
        return []
    if script == "-m":
        missing = [word for word in rest if word.startswith("tests/") and not exists(word)]
        return [f"Expected a file that exists. Received: {word}" for word in missing]
    if not (ROOT / script).is_file():
        return [f"Expected a script that exists. Received: python {script}"]
    rest = [word for text in rest for word in MADE_BY_THE_READER.get(text, [text])]
    found = []
    for overrides in swept(rest):
        answer = refusal(script, *overrides)
        found += [f"{' '.join(arguments)}: {answer}"] if answer else []
    return found


def swept(arguments: list[str]) -> list[list[str]]:
    """The arguments of each run of a sweep; the others as they are."""
    if "-m" not in arguments:
        return [arguments]
    runs = [[]]
    for text in (text for text in arguments if text != "-m"):
        override = OverridesParser.create().parse_override(text)
        choices = [text]
        if override.is_sweep_override():
            choices = [f"{override.key_or_group}={v}" for v in override.sweep_string_iterator()]
        runs = [[*run, choice] for run in runs for choice in choices]
    return runs


@functools.cache  # pages repeat the commonest commands
def refusal(script: str, *arguments: str) -> str | None:
    """What a command of ours says if its config cannot be composed or has unknown keys.

    The command runs in this process as far as its composed config: words become overrides as they
    do for a user.
    """
    asks = [text for text in arguments if text.startswith("--") and text != "--cfg"]
    flags = [] if asks or "--cfg" in arguments else ["--cfg", "job"]
    printed, saved = io.StringIO(), sys.argv
    sys.argv = [str(ROOT / script), *arguments, *flags]
    GlobalHydra.instance().clear()
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code:
            return str(stop.code)
    finally:
        sys.argv = saved
        GlobalHydra.instance().clear()
    if script != "train.py" or asks:  # --help and the like
        return None
    config = OmegaConf.create(printed.getvalue())
    try:
        run_config.check_targets(config)
        run_config.check_keys(config, "train")
    except ValueError as error:
        return str(error)
    return None


# --- names ------------------------------------------------------------------------------------


def span_mistakes(span: str) -> list[str]:
    if OURS.match(span):
        return []  # a command, checked as such
    paths = re.findall(rf"(?<![\w./-])(?:train\.py|(?:{FOLDERS})/[\w./-]*)", span)
    found = [f"Expected a file. Received: {path}" for path in paths if not exists(path)]
    for name in re.findall(rf"(?<![\w.])(?:{FOLDERS})(?:\.\w+)*\.[A-Z]\w*(?:\.\w+)*", span):
        found += [] if importable(name) else [f"Expected a class. Received: {name}"]
    for key, value in settings(span):
        if key in groups():
            if re.fullmatch(r"\w+", value) and value not in groups()[key] | {"null"}:
                found.append(f"Expected a choice of {key}. Received: {key}={value}")
        elif key not in known_keys():
            hint = run_config.close_match(key, known_keys())
            found.append(f"Expected a key of some config. Received: {key}.{hint}")
    return found


def exists(path: str) -> bool:
    """Whether a file is there; in names such as NAME.py capitals stand for the reader's own."""
    place = ROOT / path.rstrip(".")
    if place.stem.isupper() and place.suffix != ".md":
        place = place.parent
    return path in READERS_FILES or place.exists() or path in groups()


def importable(name: str) -> bool:
    parts = name.split(".")
    start = next(index for index, part in enumerate(parts) if part[0].isupper())
    try:
        functools.reduce(getattr, parts[start:], importlib.import_module(".".join(parts[:start])))
    except (ImportError, AttributeError):
        return False
    return True


def settings(span: str) -> list[tuple[str, str]]:
    """(key, value) of the overrides in a span, and (key, "") of a dotted key by itself."""
    span = re.sub(r"[\[{].*[\]}]", "", span)  # values of more than a word
    if span in MADE_BY_THE_READER:
        return []
    found = re.findall(r"(?:^|(?<=[\s']))([a-z_][\w./]*)=([^\s']*)", span)
    added = re.findall(r"(?:^|(?<=[\s']))\+([a-z_][\w.]*)\.\w+=", span)
    found += [(parent, "") for parent in added]
    found += [(key, "") for key in re.findall(r"(?:^|(?<=[\s']))~([a-z_][\w.]*)(?=[\s']|$)", span)]
    ours = {key.split(".")[0] for key in known_keys()}
    is_module = (ROOT / f"{span.replace('.', '/')}.py").is_file()
    if re.fullmatch(r"[a-z_]+(?:\.[a-z_0-9]+)+", span) and span.split(".")[0] in ours:
        if not is_module and not re.search(rf"\.(?:{SUFFIXES})$", span):
            found.append((span, ""))
    return found


@functools.cache
def groups() -> dict[str, set[str]]:
    """{group of configs: its choices}."""
    found = {}
    for file in run_config.CONFIGS.glob("*/**/*.yaml"):
        group = file.parent.relative_to(run_config.CONFIGS).as_posix()
        found.setdefault(group, set()).add(file.stem)
    return found


@functools.cache
def known_keys() -> frozenset[str]:
    """Every key of every config that ships: as its file has it, and of composed experiments."""
    found = set()
    for file in run_config.CONFIGS.rglob("*.yaml"):
        text = file.read_text()
        package = re.match(r"# @package (\S+)", text)
        place = package[1] if package else ".".join(file.relative_to(run_config.CONFIGS).parts[:-1])
        prefix = "" if place in ("", "_global_") else f"{place}."
        found.update(keys_of(OmegaConf.create(yaml.load(text, yaml.CSafeLoader)), prefix))
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        for name in groups()["experiment"]:
            found.update(keys_of(hydra.compose("train", [f"experiment={name}"])))
    return frozenset(found)


def keys_of(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Dotted keys of a config, those of inner nodes included."""
    for key in config:
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and node._value() is not None and not node._is_missing():
            if not node._is_interpolation():
                yield from keys_of(node, f"{prefix}{key}.")


# --- links ------------------------------------------------------------------------------------


def link_mistakes(page: Page, link: str) -> list[str]:
    target, _, anchor = link.partition("#")
    place = page.path.parent / target if target else page.path
    if not place.exists():
        return [f"Expected a link to a file that exists. Received: {link}"]
    if anchor and anchor not in (Page(place) if target else page).anchors():
        return [f"Expected a heading of {place.name}. Received: {link}"]
    return []

"""What the manual says is so: its commands compose, its files, keys, classes and links exist."""

import re

import pytest
from PIL import Image

from tests.helpers import documents
from tests.helpers.tiny import ROOT

PAGES = [
    path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
    if path.exists()
]  # fmt: skip
WRONG = {
    "key in a command": ("```bash\npython train.py trainer.stepz=3\n```", "trainer.stepz"),
    "key of a class": (
        "```bash\npython train.py '+loss.discriminator_terms.r1={_target_: "
        "losses.gradient_penalty.R1, wait: 1}'\n```", "wait",
    ),
    "value of a sweep": ("```bash\npython train.py -m loss=hinge,hinges\n```", "hinges"),
    "key of another command": ("```bash\npython scripts/sample.py run=RUN label=a\n```", "label"),
    "word of a command": ("```bash\npython scripts/benchmark.py stop\n```", "stop"),
    "indented command": ("    python train.py experiment=none_such\n", "none_such"),
    "command in a sentence": ("Run `python train.py seeds=1`.", "seeds"),
    "script": ("```bash\npython scripts/samples.py run=RUN\n```", "scripts/samples.py"),
    "program": ("```bash\npyhton train.py\n```", "pyhton"),
    "target": ("```bash\nmake trian\n```", "make trian"),
    "setting of make": ("```bash\nmake train ARGUMENTS=x\n```", "ARGUMENTS"),
    "overrides of make": ('```bash\nmake train ARGS="seeds=1"\n```', "seeds"),
    "key": ("| `generator.attentive_norm_blok=` | a block |", "generator.attentive_norm_blok"),
    "key without a value": ("as `generator.channel` says", "generator.channel"),
    "choice": ("`loss=hinges`", "loss=hinges"),
    "file": ("see `configs/loss/hinges.yaml`", "configs/loss/hinges.yaml"),
    "class": ("`losses.gradient_penalty.R9`", "losses.gradient_penalty.R9"),
    "link": ("[this](docs/none.md)", "docs/none.md"),
    "heading": ("[this](docs/data.md#none)", "docs/data.md#none"),
    "picture": ("![this](docs/images/none.png)", "docs/images/none.png"),
}  # fmt: skip
RIGHT = """
```bash
python scripts/compare.py RUN OTHER count=2   # words become overrides
make train ARGS="trainer.steps=5"
```
`loss=wgan_gp task.discriminator_steps=5`, `generator.channels`, `models/layers/NAME.py`,
`~holes`, `losses.gradient_penalty.R1`, [down](#a-heading), [elsewhere](https://example.org/none)

# A heading
"""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_a_page_says_is_there(path):
    assert documents.Page(path).mistakes() == []


@pytest.mark.parametrize("text, named", WRONG.values(), ids=list(WRONG))
def test_what_is_not_there_is_found(text, named):
    found = documents.Page(ROOT / "README.md", text).mistakes()
    assert len(found) == 1 and named in found[0]


def test_what_is_there_is_not_found():
    page = documents.Page(ROOT / "README.md", RIGHT)
    assert page.mistakes() == []
    assert len(page.commands()) == 2


def test_the_front_page_is_short_and_leads_everywhere():
    front = documents.Page(ROOT / "README.md")
    assert len(front.path.read_text().splitlines()) <= 120
    linked = {(ROOT / link).resolve() for link in front.links()}
    assert set(PAGES) - {front.path} <= linked


def test_pictures_are_small_and_shown():
    shown = {
        (path.parent / link).resolve() for path in PAGES for link in documents.Page(path).links()
    }
    pictures = sorted(ROOT.glob("docs/images/*"))
    assert len(pictures) >= 3 and set(pictures) <= shown
    for picture in pictures:
        assert picture.stat().st_size < 150_000
        with Image.open(picture) as image:
            assert image.width <= 800


def test_every_experiment_is_listed():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/configure.md").read_text(), re.MULTILINE)
    assert set(listed) >= documents.groups()["experiment"]

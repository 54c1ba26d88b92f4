"""Who may import whom, and that dvc.yaml names the code that a stage stands on."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parent.parent

# Modules of kajiya whose change cannot change a byte of what a stage writes, and why.
WITHOUT_INFLUENCE = {
    "kajiya": "empty",
    "kajiya.engine": "placement and progress bars",
    "kajiya.ledger": "recalls what the stage itself made, by the same code",
    "kajiya.errors": "words for a person",
    "kajiya.report_pages.keep": "small files beside the weights, which stand in the lineage themselves",
    "kajiya.report_pages": "a page beside the weights, made again by `kajiya report`: no version anew for its looks",
    "kajiya.report_pages.records": "as above",
    "kajiya.report_pages.hung": "as above",
    "kajiya.settings": "checks settings; their values are parameters of the stage",
    "kajiya.settings_docs": "help texts",
    "kajiya.storage": "where files lie",
    "kajiya.tracking": "sends metrics elsewhere",
}


# These take only write_file from it, which writes what it is given: a model is not to be trained anew
# because a reader of shards was changed.
ONLY_WRITE_FILES = {"kajiya.shards": {"pretrain", "sft", "evaluate", "gate", "answer", "judge", "register"}}


def lint_imports(root):
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([program, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)


def test_layers_hold():
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        ("components/dedupe/__init__.py", "import components.clean", "Components do not know each other"),
        ("components/clean/__init__.py", "import prefect", "Only flows know Prefect and DVC"),
        ("components/sft/__init__.py", "import mlflow", "Only registering and live metrics know MLflow"),
        ("components/crawl/__init__.py", "import torch", "The corpus is made without torch"),
        ("kajiya/shards.py", "import kajiya.lm", "Layers"),
        ("flows/graph.py", "import kajiya.cli", "Layers"),
    ],
)
def test_layers_break_where_an_import_breaks_them(tmp_path, path, line, contract):
    for name in ("kajiya", "components", "flows"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / path
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")

    done = lint_imports(tmp_path)

    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout


def test_layers_name_every_module():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = {name.strip() for layer in contracts[0]["layers"] for name in layer.replace("|", ":").split(":")}
    modules = {f"kajiya.{path.stem}" for path in (ROOT / "kajiya").iterdir() if path.suffix == ".py"}
    packages = {f"kajiya.{path.parent.name}" for path in (ROOT / "kajiya").glob("*/__init__.py")}

    assert (modules | packages) - named == {"kajiya.__init__"}


def stages():
    for name, entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        yield name, entry.get("do", entry)


@pytest.fixture(scope="module")
def imports():
    return grimp.build_graph("kajiya", "components")


@pytest.mark.parametrize(("stage", "entry"), list(stages()), ids=[name for name, _ in stages()])
def test_dvc_yaml_names_every_module_a_stage_imports(imports, stage, entry):
    component = f"components.{stage}"
    code = [component, *imports.find_descendants(component)]
    found = {module for one in code for module in imports.find_modules_directly_imported_by(one)}
    needed = {module for module in found if module.split(".")[0] == "kajiya"} - set(WITHOUT_INFLUENCE)
    listed = [Path(dependency).with_suffix("").as_posix().replace("/", ".") for dependency in entry["deps"]]

    missing = sorted(
        module
        for module in needed
        if stage not in ONLY_WRITE_FILES.get(module, ())
        and not any(module == one or module.startswith(f"{one}.") for one in listed)
    )

    assert missing == []

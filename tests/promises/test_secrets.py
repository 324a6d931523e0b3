"""Product promise: secrets stay out of the store, the outputs, the logs and the value files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

import szal_nb as szal
from tests.promises.shell import Shell, write_notebook

pytestmark = pytest.mark.serial

TOKEN = 'hunter2 "quoted" ä/+=?'
OTHER = "other-secret-of-the-environment"

NOTEBOOK = (
    """%load_ext szal_nb
import base64, json, logging, sys, time, warnings
import szal_nb as szal
from urllib.parse import quote""",
    {"source": "token: szal.Secret\nrows: int = 1", "metadata": {"tags": ["parameters"]}},
    "print('outside', token)\nassert len(token) == 22\ntoken",
    """%%szal_step talk
other = szal.secret("OTHER_SECRET")
print(token, quote(token), base64.b64encode(b"user:" + token.encode()), json.dumps(token))
sys.stdout.write(other[:9])
time.sleep(0.4)  # longer than output waits to be recorded
sys.stdout.write(other[9:] + "\\n")
print(other, file=sys.stderr)
logging.getLogger("of.step").error("cannot use %s", other)
warnings.warn(other)
display({"text/plain": token, "application/json": {"deep": [other]}}, raw=True)
token + other""",
    """%%szal_step hold --out held deep size large table
import numpy, pandas
held, deep, size = str(token), {"a": [token.encode()]}, len(token)
large = held * 100_000
table = pandas.DataFrame({"column": [quote(token)] * 10})""",
    """%%szal_step fail --retries 1 --delay 0
assert (deep["a"], size, len(large)) == ([token.encode()], 22, 2_200_000)
raise ValueError(f"no login with {token}") from KeyError(szal.secret("OTHER_SECRET"))""",
    "run = %szal_run",
)


def spellings(text):
    data = text.encode()
    found = {data, quote(text).encode(), json.dumps(text)[1:-1].encode()}
    for count in range(3):
        found.add(base64.b64encode(b"\0" * count + data + b"\0" * 3)[4:-8])
    return found


def leaks(folder, *texts):
    """(file, spelling) of each secret that some file below `folder` holds."""
    found = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        found += [(path.name, spelled) for text in texts for spelled in spellings(text) if spelled in data]
    return found


def test_no_byte_of_a_secret_reaches_the_store_an_output_or_what_the_program_prints(tmp_path, monkeypatch):
    """Its bytes (8 characters or more; also URL-quoted, base64, JSON-escaped) never reach the store, an output, a log or a value file: text is masked, a value that contains them is `live`."""
    monkeypatch.setenv("OTHER_SECRET", OTHER)
    write_notebook(tmp_path / "nb.ipynb", *NOTEBOOK)
    shell = Shell(tmp_path)

    code, out, err = shell.call("run", "nb.ipynb", "-o", "out.ipynb", "-p", "token", TOKEN)

    assert code == 1, err
    (tmp_path / "out.txt").write_text(out + err)
    (run,) = shell.runs()
    shown = shell.show(run["id"])
    (tmp_path / "show.txt").write_text(json.dumps(shown, ensure_ascii=False) + shell.call("show", run["id"])[1])
    assert leaks(tmp_path, TOKEN, OTHER) == []
    assert run["params"] == {}
    steps = {step["name"]: step for step in shown["steps"]}
    assert steps["fail"]["error"]["message"] == "no login with ***"
    live = {value["name"]: value["live"] for value in steps["hold"]["values"]}
    assert {name: bool(reason) for name, reason in live.items()} == {
        "held": True,
        "deep": True,
        "size": False,
        "large": True,
        "table": True,
    }
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    texts = ["".join(map(str, output.get("text", ""))) for cell in cells for output in cell.get("outputs", ())]
    assert "outside ***\n" in "".join(texts)


def test_a_secret_parameter_is_passed_by_environment_and_never_injected(tmp_path, monkeypatch):
    """`szal.secret("ENV_NAME")`, or a parameter annotated `szal.Secret` (passed by environment, never injected into the notebook): usable as a string in a step."""
    cells = (*NOTEBOOK[:2], "%%szal_step use\nsize = len(token.split())", "%szal_run")
    write_notebook(tmp_path / "nb.ipynb", *cells)
    shell = Shell(tmp_path)

    missing, _, said = shell.call("run", "nb.ipynb")
    monkeypatch.setenv("TOKEN", TOKEN)
    given, _, err = shell.call("run", "nb.ipynb", "-o", "out.ipynb")

    assert (missing, given) == (3, 0), err
    assert "The secret 'token' is not set" in said
    injected = next(
        "".join(cell["source"])
        for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]
        if "injected-parameters" in cell["metadata"].get("tags", ())
    )
    assert injected == '# Parameters\ntoken = szal.secret("SZAL_SECRET_TOKEN")\n'
    assert leaks(tmp_path, TOKEN) == []


def test_code_that_holds_a_secret_is_not_recorded(tmp_path):
    cells = (*NOTEBOOK[:2], f"%%szal_step use\nsame = token == {TOKEN!r}", "%szal_run")
    write_notebook(tmp_path / "nb.ipynb", *cells)
    shell = Shell(tmp_path)

    code, _, err = shell.call("run", "nb.ipynb", "-o", "out.ipynb", "-p", "token", TOKEN)

    assert code == 3
    assert "Step 'use': its code holds a secret." in err
    assert leaks(tmp_path / ".szal", TOKEN) == []


def test_what_is_transformed_is_not_recognised_and_the_docs_say_so(tmp_path, monkeypatch):
    """What a step compresses or transforms is outside this promise, and the docs say so."""
    monkeypatch.setenv("OTHER_SECRET", OTHER)
    flow = szal.Flow("f")
    flow.step(lambda: szal.secret("OTHER_SECRET")[::-1], name="turned")

    run = szal.run(flow, store=tmp_path / "runs.db")

    assert run.values.turned == OTHER[::-1]
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    assert all("compressed" in text for text in (readme, szal.secret.__doc__))

from __future__ import annotations

import base64
import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.errors import RunError
from szal_nb.model.event import StepFailed, StepOutput, StepProgress
from szal_nb.model.secret import SECRETS, Secret, Secrets, StreamMask, secret
from szal_nb.model.value import ElementEnd, ErrorInfo, Output

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=30)


def knowing(*texts: str) -> Secrets:
    secrets = Secrets()
    for text in texts:
        secrets.add(text)
    return secrets


@given(TEXTS, st.binary(max_size=4), st.binary(max_size=4))
def test_a_secret_is_found_as_it_is_url_quoted_escaped_and_in_base64_wherever_it_begins(text, before, after):
    secrets, data = knowing(text), text.encode()

    for spelled in (
        data,
        quote(text).encode(),
        quote(text, safe="").encode(),
        json.dumps(text).encode(),
        json.dumps(text, ensure_ascii=False).encode(),
        base64.b64encode(before + data + after),
        base64.urlsafe_b64encode(before + data + after),
    ):
        assert secrets(b"<" + spelled + b">")
        assert not secrets(secrets.masked(spelled.decode()).encode())


@given(TEXTS, TEXTS, st.lists(st.integers(0, 60)))
def test_a_stream_cut_anywhere_shows_what_the_masked_whole_would(text, around, cuts):
    secrets = knowing(text)
    whole = f"{around}{text}\n{text}{around}"
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    mask = StreamMask(secrets)

    shown = [mask.feed(whole[begin:end]) for begin, end in pairwise(places)]

    assert text not in "".join([*shown, mask.close()])


def test_of_a_stream_only_what_may_become_a_secret_waits():
    mask = StreamMask(knowing("hunter2-hunter2"))

    assert [mask.feed("plain"), mask.feed(" hunt"), mask.feed("ing\n"), mask.feed("hunter2-"), mask.close()] == [
        "plain",
        " ",
        "hunting\n",
        "",
        "hunter2-",
    ]


def test_events_keep_their_names_and_lose_their_secrets():
    secrets = knowing("top-secret")
    error = ErrorInfo(type="ValueError", message="no top-secret", traceback="at top-secret", names=("ValueError",))
    shown = Output(type="display_data", data={"text/plain": "top-secret", "application/json": {"a": ["top-secret", 1]}})

    assert secrets.masked_events([
        StepFailed(at=1.0, step="top-secret", attempt=1, error=error),
        StepOutput(at=1.0, step="a", attempt=1, items=(shown,)),
    ]) == (
        StepFailed(
            at=1.0,
            step="top-secret",
            attempt=1,
            error=ErrorInfo(type="ValueError", message="no ***", traceback="at ***", names=("ValueError",)),
        ),
        StepOutput(
            at=1.0,
            step="a",
            attempt=1,
            items=(Output(type="display_data", data={"text/plain": "***", "application/json": {"a": ["***", 1]}}),),
        ),
    )  # fmt: skip


def test_the_note_of_a_progress_and_the_errors_of_elements_are_masked():
    secrets = knowing("top-secret")
    said = {"step": "a", "attempt": 1, "done": 1}

    def progress(text):
        ends = (ElementEnd(0, error=f"ValueError: {text}"),)
        return StepProgress(at=1.0, note=f"at {text}", elements=ends, **said)

    assert secrets.masked_events([progress("top-secret")]) == (progress("***"),)


def test_without_secrets_nothing_is_searched():
    secrets = Secrets()
    events = [StepOutput(at=1.0, step="a", attempt=1, items=())]

    assert not secrets
    assert secrets.masked_events(events) is events
    assert not knowing("seven77"), "fewer than 8 characters are no secret"


@pytest.fixture
def no_secrets():
    """What a test makes a secret is one for it only."""
    yield
    SECRETS.__init__()


def test_a_secret_is_a_string_that_hides_in_its_repr(monkeypatch, no_secrets):
    monkeypatch.setenv("TOKEN", "hunter2-hunter2")
    monkeypatch.setenv("SZAL_SECRET_OTHER", "other-other")

    token = secret("TOKEN")

    assert isinstance(token, str)
    assert isinstance(token, Secret)
    assert (f"{token}", repr(token), repr([token])) == ("hunter2-hunter2", "'***'", "['***']")
    assert secret("other") == "other-other", "a parameter is found under its own name too"
    assert SECRETS.masked("hunter2-hunter2 other-other") == "*** ***"
    with pytest.raises(RunError, match="'MISSING' is not set. Put it into the environment"):
        secret("MISSING")

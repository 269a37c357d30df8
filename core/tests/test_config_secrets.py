"""Secrets: readable where they are used, and nowhere else."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.config import Secret, redact_url
from millstream.errors import SecretUnavailable

CANARY = "hunter2-canary"


@dataclasses.dataclass(frozen=True)
class Options:
    url: Secret[str]
    stream: str = "orders"


def shown_forms(secret):
    options = Options(secret)
    yield from (
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>80}",
        f"{secret!r}",
        "%s %r" % (secret, secret),  # noqa: UP031 - the old way of formatting is one of the ways
        f"{secret:.3}",
    )
    yield from (repr(options), str(dataclasses.asdict(options)), str([secret]), json.dumps({"url": secret}, default=str))
    yield str(ValueError(secret))


def test_plain_secret_is_hidden_in_every_form_but_revealed_on_demand():
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    for shown in shown_forms(secret):
        assert CANARY not in shown
        assert "hun" not in shown
        assert "***" in shown


def test_reference_is_shown_and_what_stands_around_it_is_not():
    secret = Secret(f"redis://app-{CANARY}:${{env:CACHE_PASSWORD}}@cache")
    assert repr(secret) == "Secret(***${env:CACHE_PASSWORD}***)"
    assert repr(Secret("${file:/run/secrets/x}")) == "Secret(${file:/run/secrets/x})"
    assert repr(Secret("")) == "Secret(***)"


def test_format_spec_does_not_tell_the_length():
    assert f"{Secret('ab'):>40}" == f"{Secret('abcdef'):.1}" == "Secret(***)"


def test_environment_reference_is_followed_at_each_reveal(monkeypatch):
    secret = Secret("redis://:${env:MILL_TEST_PASSWORD}@cache:6379/${env:MILL_TEST_DB}")
    monkeypatch.setenv("MILL_TEST_PASSWORD", "first")
    monkeypatch.setenv("MILL_TEST_DB", "0")
    assert secret.reveal() == "redis://:first@cache:6379/0"
    monkeypatch.setenv("MILL_TEST_PASSWORD", "second")
    assert secret.reveal() == "redis://:second@cache:6379/0"
    assert secret.reveal({"MILL_TEST_PASSWORD": "given", "MILL_TEST_DB": "1"}) == "redis://:given@cache:6379/1"


@pytest.mark.parametrize(("content", "expected"), [("top\n", "top"), ("top\r\n", "top"), ("top", "top"), ("top\n\n", "top\n"), (" top ", " top ")])
def test_file_reference_gives_the_file_without_its_last_line_end(tmp_path, content, expected):
    file = tmp_path / "password"
    file.write_bytes(content.encode())
    assert Secret(f"${{file:{file}}}").reveal() == expected


def test_what_a_reference_stands_for_is_not_searched_for_references(tmp_path):
    file = tmp_path / "password"
    file.write_text("${env:HOME}")
    assert Secret(f"${{file:{file}}}").reveal() == "${env:HOME}"


def test_dollar_brace_itself_is_written_with_two_dollars():
    assert Secret("a$${env:X}b").reveal({}) == "a${env:X}b"
    assert Secret("cost: 5$").reveal({}) == "cost: 5$"
    assert Secret("{plain}").reveal({}) == "{plain}"


def test_variable_that_is_not_set_is_named():
    with pytest.raises(SecretUnavailable, match=r"\$\{env:NOT_SET\} is not available: the environment variable NOT_SET is not set"):
        Secret("${env:NOT_SET}").reveal({"OTHER": CANARY})


def test_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SecretUnavailable, match="No such file or directory"):
        Secret(f"${{file:{tmp_path}/absent}}").reveal()
    with pytest.raises(SecretUnavailable, match="IsADirectoryError"):
        Secret(f"${{file:{tmp_path}}}").reveal()


def test_file_that_is_no_text_does_not_leak_into_the_traceback(tmp_path):
    file = tmp_path / "password"
    file.write_bytes(CANARY.encode() + b"\xff")
    with pytest.raises(SecretUnavailable, match="not UTF-8") as caught:
        Secret(f"${{file:{file}}}").reveal()
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", ["${vault:x}", "${env:}", "${env}", "${env:X", "${}", "pre${HOME}post"])
def test_reference_of_an_unknown_kind_is_refused_at_once_and_not_repeated(text):
    with pytest.raises(SecretUnavailable) as caught:
        Secret(text + CANARY)
    assert CANARY not in str(caught.value)
    assert "${env:NAME} nor ${file:/path}" in str(caught.value)


def test_equality_compares_how_secrets_were_written():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("\udcff") == Secret("\udcff")
    assert len({Secret("a"), Secret("a"), Secret("ä")}) == 2
    assert Options(Secret("a")) == Options(Secret("a"))


def test_secret_travels_to_the_workers_and_a_reference_travels_as_a_reference(monkeypatch):
    monkeypatch.setenv("MILL_TEST_PASSWORD", CANARY)
    secret = Secret("${env:MILL_TEST_PASSWORD}")
    data = pickle.dumps(secret)
    assert CANARY.encode() not in data
    assert pickle.loads(data).reveal() == CANARY
    assert copy.deepcopy(secret) == secret


def test_of_takes_a_text_or_a_secret():
    secret = Secret("a")
    assert Secret.of(secret) is secret
    assert Secret.of("a") == secret


@given(st.text().filter(lambda text: "${" not in text))
def test_any_text_without_a_reference_is_itself(text):
    assert Secret(text).reveal({}) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("redis://app:pw@cache:6379/0", "redis://app:***@cache:6379/0"),
        ("redis://:p@w@cache", "redis://:***@cache"),
        ("s3://bucket/folder:a@b", "s3://bucket/folder:a@b"),
        ("no url", "no url"),
        ("http://one:a@x and http://two:b@y", "http://one:***@x and http://two:***@y"),
    ],
)
def test_passwords_of_urls_are_hidden(text, redacted):
    assert redact_url(text) == redacted

"""Settings put together: who wins, and who is named when something is wrong."""

from __future__ import annotations

import string
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.config import SPECS, CheckpointConfig, JobConfig, Layer, Settings, find_settings_file, variable_of
from millstream.errors import MillstreamError, SettingInvalid, SettingsConflict, SettingsFileInvalid, UnknownSetting


@pytest.fixture
def toml(tmp_path):
    """Writes a settings file and returns its path."""

    def write(text):
        path = tmp_path / "millstream.toml"
        path.write_text(dedent(text))
        return path

    return write


class TestPrecedence:
    KEY = "execution.batch_size"

    def given(self, toml):
        return {
            Layer.FILE: {"toml_path": toml("[execution]\nbatch_size = 2\n")},
            Layer.ENVIRONMENT: {"environ": {"MILLSTREAM__EXECUTION__BATCH_SIZE": "3"}},
            Layer.CLI: {"cli": {self.KEY: "4"}},
            Layer.CODE: {"code": {self.KEY: 5}},
        }

    @pytest.mark.parametrize("top", range(5))
    def test_higher_layer_wins_and_is_named(self, toml, top):
        layers = list(self.given(toml).items())[:top]
        resolved = Settings.resolve(**{name: value for _, given in layers for name, value in given.items()})
        assert resolved.settings.execution.batch_size == (1_000, 2, 3, 4, 5)[top]
        assert resolved[self.KEY].origin.layer is (layers[-1][0] if layers else Layer.DEFAULT)

    def test_layers_that_set_different_things_add_up(self, toml):
        resolved = Settings.resolve(
            code={"job": {"name": "orders"}},
            cli={"checkpoint.interval": "10s"},
            environ={"MILLSTREAM__STATE__BACKEND": "rocksdb", "HOME": "/root", "MILLSTREAM_TEST_KAFKA": "localhost:9092"},
            toml_path=toml("[job]\nparallelism = 2\n"),
        )
        assert resolved.settings.job == JobConfig(name="orders", parallelism=2)
        assert resolved.settings.checkpoint.interval == timedelta(seconds=10)
        assert resolved.settings.state.backend == "rocksdb"
        assert {value.key: str(value.origin) for value in resolved.values if value.origin.layer is not Layer.DEFAULT} == {
            "job.name": "code",
            "job.parallelism": f"{toml('[job]' + chr(10) + 'parallelism = 2')}:2",
            "checkpoint.interval": "command line",
            "state.backend": "environment MILLSTREAM__STATE__BACKEND",
        }

    def test_option_not_given_on_the_command_line_is_none_and_does_not_count(self):
        resolved = Settings.resolve(cli={"checkpoint.interval": None}, environ={"MILLSTREAM__CHECKPOINT__INTERVAL": "1s"})
        assert resolved.settings.checkpoint.interval == timedelta(seconds=1)

    def test_none_in_code_is_a_value(self):
        resolved = Settings.resolve(code={"checkpoint.interval": None}, environ={"MILLSTREAM__CHECKPOINT__INTERVAL": "1s"})
        assert resolved.settings.checkpoint.interval is None

    def test_section_object_in_code_gives_all_its_settings(self):
        resolved = Settings.resolve(code={"checkpoint": CheckpointConfig(interval="1s")}, cli={"checkpoint.timeout": "3s"})
        assert resolved.settings.checkpoint == CheckpointConfig(interval="1s")
        assert resolved["checkpoint.timeout"].origin.layer is Layer.CODE

    def test_nothing_given_is_the_defaults(self):
        assert Settings.resolve().settings == Settings()
        assert [value.key for value in Settings.resolve().values] == list(SPECS)


class TestTexts:
    @pytest.mark.parametrize(
        ("key", "text", "value"),
        [
            ("checkpoint.interval", "10", timedelta(seconds=10)),
            ("checkpoint.interval", "off", None),
            ("checkpoint.mode", "At-Least-Once", "at_least_once"),
            ("checkpoint.storage", "none", None),
            ("job.max_parallelism", "auto", None),
            ("job.rewind", "yes", True),
            ("execution.gc_freeze", "OFF", False),
            ("restart.strategy", "none", "none"),
            ("restart.strategy", "auto", None),
            ("restart.multiplier", "2", 2.0),
            ("metrics.reporters", "prometheus, log", ("prometheus", "log")),
            ("metrics.reporters", "", ()),
            ("execution.seed", " 42 ", 42),
        ],
    )
    def test_text_means_what_people_expect(self, key, text, value):
        assert Settings.resolve(cli={key: text})[key].value == value
        assert Settings.resolve(environ={variable_of(key): text})[key].value == value

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("job.parallelism", "1.0"),
            ("job.parallelism", "٣"),
            ("job.parallelism", "9" * 5_000),
            ("job.rewind", "maybe"),
            ("checkpoint.interval", ""),
        ],
    )
    def test_text_that_means_nothing_is_refused_with_its_variable(self, key, text):
        with pytest.raises(SettingInvalid) as caught:
            Settings.resolve(environ={variable_of(key): text})
        assert caught.value.origin == f"environment {variable_of(key)}"
        assert len(str(caught.value)) < 400

    def test_toml_values_have_their_types(self, toml):
        resolved = Settings.resolve(
            toml_path=toml("""
                [checkpoint]
                interval = 2.5
                keep_on_finish = true
                [metrics]
                reporters = ["prometheus"]
            """)
        )
        assert resolved.settings.checkpoint.interval == timedelta(seconds=2.5)
        assert resolved.settings.checkpoint.keep_on_finish is True
        assert resolved.settings.metrics.reporters == ("prometheus",)

    @pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300", "true", "[10]", "{s = 10}", "1979-05-27"])
    def test_toml_value_of_another_type_is_refused_with_its_line(self, toml, value):
        path = toml(f"[checkpoint]\n# how often\ninterval = {value}\n")
        with pytest.raises(SettingInvalid) as caught:
            Settings.resolve(toml_path=path)
        assert caught.value.origin == f"{path}:3"


class TestUnknown:
    @pytest.mark.parametrize(
        ("key", "suggestion"),
        [
            ("checkpoint.intervall", "checkpoint.interval"),
            ("checkpoints.interval", "checkpoint.interval"),
            ("interval", "checkpoint.interval"),
            ("job.batch_size", "execution.batch_size"),
            ("chekpoint", "[checkpoint]"),
            ("chekpoint.zzz", "[checkpoint]"),
            ("chekpoint.retaned", "checkpoint.retained"),
            ("CHECKPOINT.Interval", "checkpoint.interval"),
            ("jobs", "[job]"),
            ("job.zzz", None),
            ("zzz", None),
        ],
    )
    def test_unknown_key_gets_the_nearest(self, key, suggestion):
        with pytest.raises(UnknownSetting) as caught:
            Settings.resolve(cli={key: "hunter2"})
        assert caught.value.suggestion == suggestion
        assert "hunter2" not in str(caught.value)

    def test_an_unknown_section_of_the_file_gets_the_nearest(self, tmp_path):
        path = tmp_path / "millstream.toml"
        path.write_text("[chekpoint]\n")
        with pytest.raises(UnknownSetting, match=r"There is no setting 'chekpoint' \(.*millstream.toml:1\)\. Did you mean '\[checkpoint\]'\?"):
            Settings.resolve(toml_path=path)

    def test_unknown_variable_gets_the_nearest_variable(self):
        with pytest.raises(UnknownSetting, match="Did you mean 'MILLSTREAM__CHECKPOINT__MIN_PAUSE'") as caught:
            Settings.resolve(environ={"MILLSTREAM__CHECKPOINT__MINPAUSE": "hunter2"})
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("variable", ["MILLSTREAM__job__name", "MILLSTREAM__JOB", "MILLSTREAM__", "MILLSTREAM__JOB__NAME__X"])
    def test_variable_of_another_form_is_refused(self, variable):
        with pytest.raises(UnknownSetting) as caught:
            Settings.resolve(environ={variable: "x"})
        assert caught.value.key == variable

    def test_unknown_key_in_the_file_is_named_with_its_line(self, toml):
        path = toml("[job]\nname = 'orders'\n\n[job.checkpoint]\ninterval = 3\n")
        with pytest.raises(UnknownSetting) as caught:
            Settings.resolve(toml_path=path)
        assert (caught.value.key, caught.value.origin) == ("job.checkpoint", f"{path}:4")

    @pytest.mark.parametrize("text", ["[jobs]\n", "jobs = 3\n", "[[job]]\nname = 'x'\n", "job = 'orders'\n", "[jobs.job]\nname = 'x'\n"])
    def test_what_is_no_section_is_refused(self, toml, text):
        path = toml(text)
        with pytest.raises((UnknownSetting, SettingInvalid)) as caught:
            Settings.resolve(toml_path=path)
        assert caught.value.origin.startswith(f"{path}:")


class TestConflicts:
    def test_both_origins_are_named(self, toml):
        path = toml("[checkpoint]\nmin_pause = '10s'\n")
        with pytest.raises(SettingsConflict) as caught:
            Settings.resolve(cli={"checkpoint.max_concurrent": "2"}, toml_path=path)
        assert caught.value.origins == {"checkpoint.min_pause": f"{path}:2", "checkpoint.max_concurrent": "command line"}
        assert f"checkpoint.min_pause is 10s ({path}:2) and checkpoint.max_concurrent is 2 (command line): " in str(caught.value)

    def test_value_that_is_replaced_is_checked_all_the_same(self, toml):
        with pytest.raises(SettingInvalid, match=r"checkpoint\.interval is 'often'"):
            Settings.resolve(cli={"checkpoint.interval": "10s"}, toml_path=toml("[checkpoint]\ninterval = 'often'\n"))

    def test_options_of_a_strategy_that_the_command_line_switches_off_may_stay_in_the_file(self, toml):
        path = toml("[restart]\nstrategy = 'fixed_delay'\nattempts = 60\n")
        assert Settings.resolve(cli={"restart.strategy": "none"}, toml_path=path).settings.restart.attempts == 60


class TestFile:
    def test_nearest_file_above_is_found(self, tmp_path):
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        (tmp_path / "millstream.toml").write_text("")
        assert find_settings_file(inner) == tmp_path / "millstream.toml"
        (inner / "millstream.toml").mkdir()  # a folder of that name is no settings file
        assert find_settings_file(inner) == tmp_path / "millstream.toml"
        (tmp_path / "a" / "millstream.toml").write_text("")
        assert find_settings_file(inner) == tmp_path / "a" / "millstream.toml"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"[job\n", "line 1"),
            (b"a = 1\na = 2\n", "Cannot overwrite"),
            (b"a = '\xff'\n", "byte 5 is not UTF-8"),
            (b"a = " + b"[" * 100_000, "nested too deeply|Invalid value|[Nn]est"),
            (b"a = " + b"9" * 5_000, "4300"),
        ],
    )
    def test_file_that_is_no_toml_is_refused_by_name(self, tmp_path, content, reason):
        path = tmp_path / "millstream.toml"
        path.write_bytes(content)
        with pytest.raises(SettingsFileInvalid, match=reason) as caught:
            Settings.resolve(toml_path=path)
        assert caught.value.path == str(path)

    def test_file_that_does_not_exist_is_refused_by_name(self, tmp_path):
        with pytest.raises(SettingsFileInvalid, match="No such file"):
            Settings.resolve(toml_path=tmp_path / "absent.toml")

    def test_lines_are_those_on_which_settings_stand(self, toml):
        path = toml('''\
            checkpoint.timeout = "1min"  # dotted
            state = { backend = "memory" }

            [job]
            name = """
            [execution]
            batch_size"""
            # parallelism = 3
            parallelism = 4
            "rewind" = true

            [metrics]
            reporters = [
              "prometheus",
              "log",
            ]

            [execution]
            batch_size = 7''')
        with pytest.raises(SettingInvalid) as caught:  # a name has no line ends
            Settings.resolve(toml_path=path)
        assert caught.value.origin == f"{path}:5"
        path.write_text(path.read_text().replace('"""\n[execution]\nbatch_size"""', '"""\\\n[execution]\\\nbatch_size"""'))
        resolved = Settings.resolve(toml_path=path)
        lines = {value.key: str(value.origin).rpartition(":")[2] for value in resolved.values if value.origin.layer is Layer.FILE}
        assert lines == {
            "checkpoint.timeout": "1",
            "state.backend": "2",
            "job.name": "5",
            "job.parallelism": "9",
            "job.rewind": "10",
            "metrics.reporters": "13",
            "execution.batch_size": "19",
        }

    def test_very_long_file_is_named_without_the_line(self, toml):
        path = toml("[job]\nparallelism = 0\n" + "#\n" * 2_000)
        with pytest.raises(SettingInvalid) as caught:
            Settings.resolve(toml_path=path)
        assert caught.value.origin == f"file {path}"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.timedeltas()
    | st.sampled_from(["off", "10s", "auto", "exactly_once"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
LAYERS = st.sampled_from(["code", "cli"])
KEYS = st.sampled_from(list(SPECS)) | st.text(string.ascii_lowercase + "._", max_size=20)


def outcome(**layers):
    try:
        return Settings.resolve(**layers)
    except MillstreamError as refused:
        return refused


@settings(max_examples=300, deadline=None)
@given(KEYS, VALUES, LAYERS)
def test_any_value_is_taken_or_refused_with_its_key(key, value, layer):
    found = outcome(**{layer: {key: value}})
    if isinstance(found, SettingsConflict):
        assert key in found.values
    elif isinstance(found, SettingInvalid | UnknownSetting):
        assert found.key.startswith(key)
        assert found.origin == ("code" if layer == "code" else "command line")
        assert str(found)
    elif key in SPECS:
        taken = found[key]
        assert Settings.resolve(cli={key: taken.spec.kind.write(taken.value)})[key].value == taken.value
        assert Settings.resolve(code={key: taken.value})[key].value == taken.value


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from([variable_of(key) for key in SPECS]), st.text(max_size=10)))
def test_any_environment_is_taken_or_refused_with_its_variable(environ):
    found = outcome(environ=environ)
    assert not isinstance(found, MillstreamError) or any(variable in str(found) for variable in environ)


def test_example_of_the_reference_is_a_whole_file(tmp_path: Path):
    """Every setting written as text by one run can be the file of the next."""
    lines = []
    for section in dict.fromkeys(key.partition(".")[0] for key in SPECS):
        lines.append(f"[{section}]")
        lines += [f'{spec.key.partition(".")[2]} = "{spec.text(spec.default)}"' for spec in SPECS.values() if spec.key.startswith(f"{section}.")]
    path = tmp_path / "millstream.toml"
    path.write_text("\n".join(lines))
    resolved = Settings.resolve(toml_path=path)
    assert resolved.settings == Settings()
    assert all(value.origin.layer is Layer.FILE for value in resolved.values)

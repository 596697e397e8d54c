"""The configuration as a form: nothing that is left empty is sent, and the text says what it is."""

import itertools
import json
import re
from typing import Any

import pytest
from prefect import flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validation

from overlap.config import RunConfig
from overlap.config.form import ADVANCED, ADVANCED_SECTIONS
from overlap.config.presets import PRESETS


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    @flow
    def job(config: RunConfig) -> None: ...

    return parameter_schema(job).model_dump()


def sections(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {n: d["properties"] for n, d in schema["definitions"].items() if n != "RunConfig"}


def test_every_field_has_a_title_and_says_what_it_means(schema) -> None:
    whole = schema["definitions"]["RunConfig"]["properties"]
    fields = list(whole.items())
    fields += itertools.chain.from_iterable(s.items() for s in sections(schema).values())
    assert len(fields) > 60
    for name, field in fields:
        assert field["title"][0].isupper(), name
        assert "_" not in field["title"], name
        assert "$ref" in field or field["description"].endswith((".", "…")), name


def test_no_default_of_a_section_would_be_sent_and_hide_the_preset(schema) -> None:
    for name, fields in sections(schema).items():
        assert not [f for f, field in fields.items() if "default" in field], name
        # A switch that nobody touched would be sent as off.
        assert not [f for f, field in fields.items() if field.get("type") == "boolean"], name


def test_the_text_names_the_default_of_each_preset(schema) -> None:
    fields = sections(schema)["TrainingConfig"]
    epochs = {p: RunConfig(data="D", preset=p).training.epochs for p in PRESETS}
    told = ", ".join(f"{preset} {value}" for preset, value in epochs.items())
    assert f"Default: {told}." in fields["epochs"]["description"]
    whole = "Default: demo off, baseline off, fast on, wide on."
    assert whole in fields["whole_batches"]["description"]
    assert fields["memory_gb"]["description"].endswith("half of the machine's free memory.")
    stages = sections(schema)["NetworkConfig"]["stages"]["description"]
    assert "demo plain 32; plain 64; plain 128; bottleneck 256, baseline" in stages


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"data": "D", "preset": "fast", "training": {"epochs": 0}}, "config.training.epochs"),
        ({"data": "D", "training": {"whole_batches": "x"}}, "config.training.whole_batches"),
        ({"data": "D", "ensemble": {"pool": "median"}}, "config.ensemble.pool"),
        ({"data": "D", "training": {"epoch": 3}}, "epoch"),
        ({"data": ""}, "config.data"),
        ({}, "data"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(schema, config, named: str) -> None:
    with pytest.raises(validation.ValidationError, match=named):
        validation.validate({"config": config}, schema, raise_on_error=True)


def test_what_the_form_sends_when_only_the_data_is_filled_in(schema) -> None:
    sent = {"data": "D", "preset": "fast", "cluster": {"arguments": {}}}
    validation.validate({"config": sent}, schema, raise_on_error=True)
    assert RunConfig.model_validate(sent) == RunConfig(data="D", preset="fast")


def test_sections_are_in_the_order_in_which_a_user_thinks(schema) -> None:
    names = [*schema["definitions"]["RunConfig"]["properties"]]
    assert names[:5] == ["data", "workspace", "preset", "training", "ensemble"]
    assert names[-1] == "cluster"
    titles = [f["title"] for f in schema["definitions"]["RunConfig"]["properties"].values()]
    advanced = [title.endswith(" (advanced)") for title in titles]
    assert advanced == sorted(advanced)
    assert sum(advanced) == len(ADVANCED_SECTIONS)


def test_advanced_fields_follow_the_others_of_their_section(schema) -> None:
    """Prefect's form sorts the fields of a section by position."""
    for name, advanced in ADVANCED.items():
        fields = sections(schema)[name]
        ordered = sorted(fields, key=lambda field: fields[field]["position"])
        assert {*ordered[-len(advanced) :]} == advanced, name
    assert next(iter(sections(schema)["TrainingConfig"])) == "epochs"


def test_titles_and_defaults_are_words(schema) -> None:
    cluster = sections(schema)["ClusterConfig"]
    assert cluster["cpu_workers"]["title"] == "CPU workers"
    assert "Default" not in cluster["adaptive"].get("description", "")
    for fields in sections(schema).values():
        for name, field in fields.items():
            told = field.get("description", "").partition("Default: ")[2]
            assert not re.search(r"\d \d", told), (name, told)
    assert "256/200; 512/400" in sections(schema)["FeatureConfig"]["resolutions"]["description"]


def test_parameters_of_existing_deployments_are_valid(schema) -> None:
    """Stored parameters name sections in the former order, and have every field."""
    run = RunConfig(data="D", preset="fast")
    stored = dict(reversed(run.model_dump(mode="json", exclude={"notify"}).items()))
    features = json.dumps(run.features.model_dump())  # under current names, as a form sends them
    stored["features"] = json.loads(features)
    validation.validate({"config": stored}, schema, raise_on_error=True)
    assert RunConfig.model_validate(stored) == run

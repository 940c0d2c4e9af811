"""Settings: where they come from and how a mistake is told (interfaces.md 2)."""

import pytest

from relationship_pipeline.errors import BadInput
from relationship_pipeline.layout import Layout
from relationship_pipeline.settings import load_settings


def write(layout: Layout, text: str) -> None:
    layout.root.mkdir(parents=True)
    layout.settings_file.write_text(text)


def test_environment_goes_before_the_file_and_the_file_before_defaults(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(layout, "batch_cap = 7\nthreads = 3\n[health]\ncadence_days = 14\n")
    monkeypatch.setenv("RELATIONSHIP_BATCH_CAP", "5")
    settings = load_settings()
    assert (settings.batch_cap, settings.threads, settings.health.cadence_days) == (5, 3, 14)


def test_lists_in_the_environment_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELATIONSHIP_INTERNAL_DOMAINS", "contoso.com, contoso.de")
    assert load_settings().internal_domains == ["contoso.com", "contoso.de"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("batch_capp = 1", "batch_capp"),
        ("[graph]\nfoo = 1", "graph.foo"),
        ("batch_cap = 0", "batch_cap"),
        ("batch_cap = [", "settings.toml"),
        ('[graph]\nclient_secret = "s3cret"', "client_secret"),
        ("[health]\nmax_activity = 31", "sum to 100"),
        ("[health]\ngood_from = 40", "fair_from"),
        ("[health]\nweight_email = 10", "weight_email"),
        ('first_month = "2026"', "first_month"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(layout: Layout, text: str, named: str) -> None:
    write(layout, text)
    with pytest.raises(BadInput, match=named) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELATIONSHIP_BATCHCAP", "5")
    with pytest.raises(BadInput, match="RELATIONSHIP_BATCHCAP"):
        load_settings()


def test_secrets_do_not_show_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELATIONSHIP_GRAPH__CLIENT_SECRET", "s3cret")
    assert "s3cret" not in repr(load_settings())

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


@pytest.mark.parametrize(
    "text", ["contoso.com, contoso.de", "@Contoso.com.,contoso.DE", '["contoso.com", "contoso.de"]']
)
def test_lists_in_the_environment_are_comma_separated(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RELATIONSHIP_INTERNAL_DOMAINS", text)
    monkeypatch.setenv("RELATIONSHIP_SCOPE__GROUPS", "g1, g2")
    settings = load_settings()
    assert (settings.internal_domains, settings.scope.groups) == (["contoso.com", "contoso.de"], ["g1", "g2"])


def test_a_byte_order_mark_before_the_settings_is_no_mistake(layout: Layout) -> None:
    write(layout, "\ufeffbatch_cap = 7\n")
    assert load_settings().batch_cap == 7


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("INTERNAL_DOMAINS", "*.contoso.com"),
        ("INTERNAL_DOMAINS", "contoso.com;contoso.de"),
        ("FREE_MAIL_DOMAINS", "[mail.example"),
        ("HEALTH", "x"),
        ("AS_OF", "0001-01-01T00:00:00Z"),
        ("AS_OF", "9999-12-31"),
        ("AS_OF", "1007164800"),
        ("MEMORY_LIMIT", "0GB"),
    ],
)
def test_a_mistake_in_the_environment_is_one_line_that_names_the_key(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"RELATIONSHIP_{name}", text)
    with pytest.raises(BadInput, match=name.lower()) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("MEMORY_LIMIT", "lots", "memory_limit"),
        ("AS_OF", "tomorrow", "as_of"),
        ("EXECUTOR", "threads", "executor"),
        ("OPT_OUT__ATTRIBUTE", "extensionAttribute16", "opt_out.attribute"),
    ],
)
def test_a_value_of_another_form_names_the_key_and_where_the_form_is_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, key: str
) -> None:
    monkeypatch.setenv(f"RELATIONSHIP_{name}", text)
    with pytest.raises(BadInput, match=rf"setting {key} is not of its form; `relationship-pipeline init --print`"):
        load_settings()


def test_a_data_directory_that_is_a_file_is_said(layout: Layout) -> None:
    layout.root.write_text("")
    with pytest.raises(BadInput, match="the data directory is a file"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("batch_capp = 1", "batch_capp"),
        ("[graph]\nfoo = 1", "graph.foo"),
        ("graph = 3", "graph"),
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


@pytest.mark.parametrize(("key", "own"), [("data_connect_dir", "data_connect"), ("crm_dir", "crm")])
def test_w4_an_export_elsewhere_inside_the_data_directory_is_refused_before_a_deletion_would_not_end(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, key: str, own: str
) -> None:
    monkeypatch.setenv(f"RELATIONSHIP_{key.upper()}", str(layout.root / "inbox" / "export2"))
    with pytest.raises(BadInput, match=f"^setting {key} lies inside the data directory; move it to inbox/{own} "):
        load_settings()
    for place in (layout.root / "inbox" / own, layout.root.parent / "export"):
        monkeypatch.setenv(f"RELATIONSHIP_{key.upper()}", str(place))
        assert getattr(load_settings(), key) == place

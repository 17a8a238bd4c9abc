import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import settings
from gateway.settings import Settings, SettingsError, for_worker, read


@pytest.fixture
def required(tmp_path):
    policy = tmp_path / "policy"
    policy.mkdir()
    peppers = tmp_path / "peppers"
    peppers.write_text("v1: 00\n")
    return {"OSTIARY_POLICY_DIR": str(policy), "OSTIARY_PEPPERS_FILE": str(peppers)}


def problems(environ):
    with pytest.raises(SettingsError) as caught:
        read(environ)
    return caught.value.problems


def test_every_field_can_be_set_from_the_environment():
    assert set(settings._PARSERS) == {item.name for item in fields(Settings)}


def test_defaults_need_only_the_files_that_must_exist(required):
    got = read({**required, "PATH": "/bin", "HOME": "/root"})
    assert got.policy_dir == Path(required["OSTIARY_POLICY_DIR"])
    assert got.workers == len(os.sched_getaffinity(0))
    assert (got.admin_host, got.admin_port) == ("127.0.0.1", 9464)
    assert got.socket_mode == 0o600
    assert got.audit_full == "deny"
    assert got.valkey_url is None


def test_settings_are_frozen(required):
    with pytest.raises(AttributeError):
        read(required).workers = 3


def test_all_problems_are_told_at_once(required):
    found = problems(
        {
            **required,
            "OSTIARY_WORKRES": "2",
            "OSTIARY_ADMIN_PORT": "70000",
            "OSTIARY_LOG_LEVEL": "loud",
            "OSTIARY_PEPPERS_FILE": "/nowhere/peppers",
            "OSTIARY_VALKEY_URL": "redis://cache.example:6379",
        },
    )
    assert [line.split(":")[0] for line in found] == [
        "OSTIARY_WORKRES",
        "OSTIARY_ADMIN_PORT",
        "OSTIARY_LOG_LEVEL",
        "OSTIARY_VALKEY_URL",
        "OSTIARY_PEPPERS_FILE",
    ]
    assert all(" " in line for line in found)


def test_a_misspelt_name_is_answered_with_the_nearest_one(required):
    (line,) = problems({**required, "OSTIARY_WORKRES": "2"})
    assert line == "OSTIARY_WORKRES: no such setting; did you mean OSTIARY_WORKERS?"


def test_a_name_like_no_other_is_answered_with_all_names(required):
    (line,) = problems({**required, "OSTIARY_ZZZZZZZZZZZZZZZZZZZZZZZZZZZ": "2"})
    assert "OSTIARY_POLICY_DIR" in line


def test_an_empty_variable_counts_as_unset(required):
    assert read({**required, "OSTIARY_VALKEY_URL": "", "OSTIARY_WORKERS": ""}) == read(required)


def test_missing_policy_and_peppers_are_refused(tmp_path):
    found = problems(
        {"OSTIARY_POLICY_DIR": str(tmp_path / "none"), "OSTIARY_PEPPERS_FILE": str(tmp_path)},
    )
    assert len(found) == 2
    assert "no directory at" in found[0]
    assert "no file at" in found[1]


def test_a_bad_path_is_one_problem_and_its_text_is_not_shown(required):
    pepper = "0123456789abcdef" * 4
    (line,) = problems({**required, "OSTIARY_PEPPERS_FILE": pepper})
    assert line == "OSTIARY_PEPPERS_FILE: not an absolute path"


def test_a_file_where_a_directory_belongs_is_refused(required, tmp_path):
    (tmp_path / "taken").write_text("")
    (line,) = problems({**required, "OSTIARY_AUDIT_DIR": str(tmp_path / "taken")})
    assert line.startswith("OSTIARY_AUDIT_DIR: ")
    assert "not a directory" in line


def test_metrics_follow_the_run_directory(required, tmp_path):
    environ = {**required, "OSTIARY_RUN_DIR": str(tmp_path)}
    assert read(environ).metrics_dir == tmp_path / "metrics"
    assert read({**environ, "OSTIARY_METRICS_DIR": "/dev/shm/m"}).metrics_dir == Path("/dev/shm/m")


def test_a_run_directory_whose_sockets_cannot_be_bound_is_refused(required, tmp_path):
    fits = "/" + "r" * (107 - len("//worker-0.sock"))
    environ = {**required, "OSTIARY_WORKERS": "1", "OSTIARY_RUN_DIR": fits}
    assert len(str(read(environ).socket)) == 107
    (line,) = problems({**environ, "OSTIARY_RUN_DIR": fits + "r"})
    assert "107 bytes" in line
    (line,) = problems({**environ, "OSTIARY_WORKERS": "11"})  # worker-10.sock is one longer
    assert "107 bytes" in line


def test_a_worker_index_lies_below_the_number_of_workers(required):
    assert read({**required, "OSTIARY_WORKERS": "2", "OSTIARY_WORKER_INDEX": "1"}).worker_index == 1
    (line,) = problems({**required, "OSTIARY_WORKERS": "2", "OSTIARY_WORKER_INDEX": "2"})
    assert line.startswith("OSTIARY_WORKER_INDEX: 2 with 2 workers")


@pytest.mark.parametrize("text", ["-1", "+1", "1_0", "0x10", " 1", "1\n", "٣", "1e3", "0", "257", "9" * 50])
def test_whole_numbers_are_plain_ascii_digits_within_bounds(required, text):
    (line,) = problems({**required, "OSTIARY_WORKERS": text})
    assert line.startswith("OSTIARY_WORKERS: ")
    assert len(line) < 200


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e3", "3601", "1.2345"])
def test_seconds_are_plain_and_bounded(required, text):
    (line,) = problems({**required, "OSTIARY_DRAIN_S": text})
    assert line.startswith("OSTIARY_DRAIN_S: ")


@pytest.mark.parametrize(("text", "mode"), [("600", 0o600), ("0660", 0o660), ("660", 0o660)])
def test_socket_modes_are_octal(required, text, mode):
    assert read({**required, "OSTIARY_SOCKET_MODE": text}).socket_mode == mode


@pytest.mark.parametrize("text", ["666", "0777", "661", "060", "400", "0o600", "384", "rw-------", "1600"])
def test_socket_modes_that_open_the_door_or_shut_ourselves_out_are_refused(required, text):
    (line,) = problems({**required, "OSTIARY_SOCKET_MODE": text})
    assert line.startswith("OSTIARY_SOCKET_MODE: ")


@pytest.mark.parametrize(
    "url",
    [
        "unix:///run/valkey.sock",
        "redis://127.0.0.1:6379/0",
        "redis://127.9.9.9",
        "redis://[::1]:6379",
        "redis://localhost",
        "rediss://cache.example:6380",
    ],
)
def test_encrypted_or_local_stores_are_accepted(required, url):
    assert read({**required, "OSTIARY_VALKEY_URL": url}).valkey_url == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@10.0.0.5:6379",
        "redis://:hunter2@localhost.evil.example",
        "redis://:hunter2@127.0.0.1.evil.example",
        "redis://hunter2@[::ffff:10.0.0.1]",
        "redis://hunter2:99999999@127.0.0.1:99999999",
        "redis:///0?hunter2",
        "unix://hunter2",
        "http://hunter2@127.0.0.1",
        "hunter2",
        "redis://[hunter2",
    ],
)
def test_a_refused_store_url_never_shows_in_the_error(required, url):
    (line,) = problems({**required, "OSTIARY_VALKEY_URL": url})
    assert line.startswith("OSTIARY_VALKEY_URL: ")
    assert "hunter2" not in line


def test_a_password_in_the_store_url_never_shows_in_a_repr(required):
    got = read({**required, "OSTIARY_VALKEY_URL": "rediss://:hunter2@cache.example"})
    assert "hunter2" not in repr(got)
    assert "hunter2" not in str(got)


def test_a_worker_reads_what_the_supervisor_hands_it(required):
    ours = read(
        {
            **required,
            "OSTIARY_WORKERS": "3",
            "OSTIARY_DRAIN_S": "2.5",
            "OSTIARY_SOCKET_MODE": "660",
            "OSTIARY_VALKEY_URL": "unix:///run/valkey.sock",
        },
    )
    handed = for_worker(ours, 2)
    assert handed["PROMETHEUS_MULTIPROC_DIR"] == str(ours.metrics_dir)
    assert read(handed) == replace(ours, worker_index=2)


def test_the_process_environment_is_read_by_one_function(required, monkeypatch):
    for name in list(os.environ):
        if name.startswith("OSTIARY_"):
            monkeypatch.delenv(name)
    for name, value in {**required, "OSTIARY_WORKERS": "7"}.items():
        monkeypatch.setenv(name, value)
    assert settings.read_process().workers == 7


@given(
    st.dictionaries(
        st.sampled_from([settings.PREFIX + name.upper() for name in settings._PARSERS]),
        st.text(max_size=80),
        min_size=1,
    ),
)
def test_whatever_the_values_are_the_other_problems_are_still_told(environ):
    environ["OSTIARY_NOT_A_SETTING"] = "x"
    found = problems(environ)
    assert "OSTIARY_NOT_A_SETTING" in found[0]
    assert all(line.startswith("OSTIARY_") for line in found)


@pytest.mark.parametrize(
    "address", ["https://vault.example:8200", "https://vault.example:8200/", "http://127.0.0.1:8200"]
)
def test_a_vault_is_reached_by_tls_or_on_this_host(required, tmp_path, address):
    token = tmp_path / "token"
    token.write_text("t")
    got = read({**required, "OSTIARY_VAULT_ADDR": address, "OSTIARY_VAULT_TOKEN_FILE": str(token)})
    assert got.vault_addr == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example",
        "vault.example:8200",
        "https://",
        "https://u:p@vault.example",
        "https://v/ui",
        "https://v:x",
    ],
)
def test_no_vault_is_reached_otherwise(required, address):
    (line, *_) = problems({**required, "OSTIARY_VAULT_ADDR": address})
    assert line.startswith("OSTIARY_VAULT_ADDR: ")


def test_one_thing_encrypts_signing_keys_and_it_is_there(required, tmp_path):
    file = tmp_path / "kek"
    assert "no file" in problems({**required, "OSTIARY_KEK_FILE": str(file)})[0]
    file.write_text("v1: 00\n")
    both = {"OSTIARY_KEK_FILE": str(file), "OSTIARY_VAULT_ADDR": "https://v", "OSTIARY_VAULT_TOKEN_FILE": str(file)}
    assert "not both" in problems({**required, **both})[0]
    assert problems({**required, "OSTIARY_VAULT_ADDR": "https://v"})[0].startswith("OSTIARY_VAULT_TOKEN_FILE")


# --- the hop to Valkey --------------------------------------------------------------------------------------------
@pytest.fixture
def secured(required, tmp_path):
    environ = {**required, "OSTIARY_VALKEY_URL": "rediss://worker:pw@valkey.example:6380"}
    for name in ("CA", "CERT", "KEY"):
        path = tmp_path / name.lower()
        path.write_text("")
        environ[f"OSTIARY_VALKEY_{name}_FILE"] = str(path)
    return environ


def test_certificates_for_valkey_reach_the_workers(secured):
    got = read(secured)
    assert read(for_worker(got, 0) | {"PROMETHEUS_MULTIPROC_DIR": ""}).valkey_key_file == got.valkey_key_file
    assert got.valkey_ca_file == Path(secured["OSTIARY_VALKEY_CA_FILE"])


def test_a_certificate_for_valkey_and_its_key_come_together(secured):
    del secured["OSTIARY_VALKEY_KEY_FILE"]
    assert problems(secured) == ("OSTIARY_VALKEY_KEY_FILE: comes with OSTIARY_VALKEY_CERT_FILE, and that with it",)


@pytest.mark.parametrize("url", ["", "unix:///run/valkey.sock", "redis://127.0.0.1:6379"])
def test_certificates_for_a_hop_without_tls_are_a_mistake(secured, url):
    found = problems({**secured, "OSTIARY_VALKEY_URL": url})
    assert [line.split(":")[0] for line in found] == [f"OSTIARY_VALKEY_{name}_FILE" for name in ("CA", "CERT", "KEY")]
    assert all("OSTIARY_VALKEY_URL" in line and "nothing would be encrypted" in line for line in found)


@pytest.mark.parametrize("name", ["LEDGER", "SIMILAR"])
def test_certificates_are_no_sign_that_a_plain_address_is_encrypted(secured, name):
    plain = {"OSTIARY_VALKEY_URL": "redis://:hunter2@127.0.0.1:6379", f"OSTIARY_{name}_URL": "rediss://redis.example"}
    found = problems({**secured, **plain})
    assert len(found) == 3
    assert all("OSTIARY_VALKEY_URL is redis://" in line and "hunter2" not in line for line in found)


@pytest.mark.parametrize("url", ["rediss://valkey.example", "rediss+sentinel://a.example,b.example/main"])
def test_certificates_may_be_those_of_the_ledger_alone(secured, url):
    for own in ("", "unix:///run/valkey.sock"):
        environ = {**secured, "OSTIARY_VALKEY_URL": own, "OSTIARY_LEDGER_URL": url}
        assert read(environ).valkey_ca_file == Path(secured["OSTIARY_VALKEY_CA_FILE"])
    without = {**secured, "OSTIARY_VALKEY_URL": "", "OSTIARY_LEDGER_URL": url.replace("rediss", "redis")}
    assert problems(without)


def test_a_certificate_file_that_is_not_there_is_told(secured):
    Path(secured["OSTIARY_VALKEY_CA_FILE"]).unlink()
    (found,) = problems(secured)
    assert found.startswith("OSTIARY_VALKEY_CA_FILE: no file at ")


@pytest.mark.parametrize("query", ["ssl_cert_reqs=none", "ssl_check_hostname=false", "db=1&ssl_ca_certs=/x", "db=x"])
def test_an_address_cannot_switch_the_check_of_certificates_off(required, query):
    (found,) = problems({**required, "OSTIARY_VALKEY_URL": f"rediss://valkey.example:6380?{query}"})
    assert query not in found


def test_an_address_may_name_a_database(required):
    url = "unix:///run/valkey.sock?db=2"
    assert read({**required, "OSTIARY_VALKEY_URL": url}).valkey_url == url


def test_the_analysis_process_gets_what_a_shared_index_needs_and_nothing_else(required, monkeypatch):
    environ = {
        **required,
        "OSTIARY_VALKEY_URL": "unix:///run/valkey.sock",
        "OSTIARY_SIMILAR_URL": "rediss://similar:pw@redis.example:6380",
        "OSTIARY_KEK_FILE": required["OSTIARY_PEPPERS_FILE"],
    }
    handed = settings.for_analysis(read(environ))
    assert handed == {name: environ[name] for name in ("OSTIARY_SIMILAR_URL", "OSTIARY_PEPPERS_FILE")}
    for name, value in handed.items():
        monkeypatch.setenv(name, value)
    got = settings.index_of_process()
    assert (got.similar_url, str(got.peppers_file)) == tuple(handed.values())
    assert "pw" not in repr(got)
    monkeypatch.setenv("OSTIARY_SIMILAR_URL", "redis://:hunter2@redis.example")
    with pytest.raises(SettingsError, match="plaintext") as caught:
        settings.index_of_process()
    assert "hunter2" not in str(caught.value)


def test_without_a_shared_index_the_analysis_process_gets_nothing(required, monkeypatch):
    assert settings.for_analysis(read({**required, "OSTIARY_VALKEY_URL": "unix:///run/valkey.sock"})) == {}
    monkeypatch.delenv("OSTIARY_SIMILAR_URL", raising=False)
    assert settings.index_of_process() is None


def test_certificates_may_be_those_of_the_shared_index_alone(required):
    files = {"OSTIARY_VALKEY_CA_FILE": required["OSTIARY_PEPPERS_FILE"], "OSTIARY_VALKEY_URL": "unix:///v.sock"}
    assert problems({**required, **files})
    got = read({**required, **files, "OSTIARY_SIMILAR_URL": "rediss://redis.example"})
    assert settings.for_analysis(got)["OSTIARY_VALKEY_CA_FILE"] == files["OSTIARY_VALKEY_CA_FILE"]

"""Rule M23: what produced a run is told, who ran it where is not."""

import json
import platform
import re
from dataclasses import asdict
from importlib import metadata

from mnistlab import __version__
from mnistlab.instruments.environment import describe

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "plantedsecretone", "WANDB_API_KEY": "plantedsecrettwo", "USER": "planteduser",
    "LOGNAME": "planteduser", "HOSTNAME": "plantedhost", "HOME": "/home/plantedhome", "PATH": "/opt/plantedpath",
    "PWD": "/srv/plantedplace",
}  # fmt: skip


def words_of(environment):
    return set(re.split(r"[^\w.-]+", json.dumps(asdict(environment)).lower()))


def test_no_secret_user_host_or_path_is_told(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/plantedhome/dump --xla_cpu_multi_thread_eigen=false")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", r"C:\plantedplace")
    found = describe(device="cpu", threads=1, data_sha256="d" * 64)
    assert "planted" not in repr(found)
    assert platform.node().lower() not in words_of(found)
    assert not any("/" in value or "\\" in value for _, value in found.variables)
    assert dict(found.variables)["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false"


def test_variables_outside_the_list_are_not_told():
    given = {**SECRETS, "OMP_NUM_THREADS": "2", "KERAS_BACKEND": "jax"}
    found = describe(device="cpu", threads=2, data_sha256="", variables=given)
    assert found.variables == (("KERAS_BACKEND", "jax"), ("OMP_NUM_THREADS", "2"))


def test_it_tells_what_ran():
    found = describe(device="cpu", threads=2, data_sha256="d" * 64)
    assert (found.python, found.device, found.threads) == (platform.python_version(), "cpu", 2)
    assert (found.data_sha256, found.code_version[: len(__version__) + 1]) == ("d" * 64, f"{__version__}+")
    assert dict(found.packages)["numpy"] == metadata.version("numpy")


def test_results_of_one_environment_share_an_id_and_of_another_do_not():
    one, same, other = (describe(device="cpu", threads=n, data_sha256="", variables={}) for n in (1, 1, 2))
    assert one.id == same.id != other.id

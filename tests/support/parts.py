"""The settings of a process that opens token and database, and serves nobody."""

from datetime import timedelta
from pathlib import Path

from server.domain.wrapping_keys import Algorithm
from server.settings import DatabaseSettings, HsmSettings, LifeSettings, PolicySettings, Settings, TlsSettings


def settings_without_network(folder: Path, module: Path) -> Settings:
    """Return settings for the token in a folder, with a database beside it; retired and deleted keys leave at once."""
    nowhere = folder / "no-network-here"
    return Settings(
        tls=TlsSettings(certificate=nowhere, key=nowhere, client_ca=nowhere),
        policy=PolicySettings(file=nowhere),
        database=DatabaseSettings(url=f"sqlite:///{folder}/keystead.db"),
        hsm=HsmSettings(module=module, token_label="keystead", pin_file=folder / "pin", profile="softhsm"),
        life=LifeSettings(
            retired_lifetime=timedelta(microseconds=1),
            deleted_lifetime=timedelta(microseconds=1),
            wrapping_key_algorithm=Algorithm.RSA_OAEP_3072_SHA256,
        ),
    )

"""The identity provider out of the configuration."""

from __future__ import annotations

from typing import Final

from fleet.adapters.staff_secrets import Seal
from fleet.config import FleetConfig
from fleet.core.access import Role
from fleet.errors import ConfigError
from fleet.ports_access import Provider

BACK_PATH: Final = "/ops/sso/back"


def provider_of(config: FleetConfig, public_url: str, seal: Seal) -> Provider | None:
    """The provider, None where no issuer is named; raise ConfigError."""
    oidc = config.oidc
    if not oidc.issuer:
        return None
    if not oidc.issuer.startswith("https://") and not oidc.issuer.startswith("http://127.0.0.1:"):
        raise ConfigError(f"oidc.issuer {oidc.issuer!r}: expected https://")
    if not oidc.client_id or oidc.client_secret_file is None:
        raise ConfigError("oidc: needs client_id and client_secret_file beside the issuer")
    try:
        secret = oidc.client_secret_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"oidc.client_secret_file: can't be read: {error}") from error
    roles = {
        group: role
        for role, groups in zip(
            (Role.VIEWER, Role.OPERATOR, Role.TECHNICIAN, Role.ADMIN),
            (oidc.viewer_groups, oidc.operator_groups, oidc.technician_groups, oidc.admin_groups),
            strict=True,
        )
        for group in (each.strip() for each in groups.split(","))
        if group
    }
    if not roles:
        raise ConfigError('oidc: name at least one group, such as admin_groups = "yizhan-admins"')
    # Heavy, and needed by those alone who have a provider.
    from fleet.adapters.oidc import OidcConfig, OidcProvider  # noqa: PLC0415

    return OidcProvider(
        OidcConfig(
            issuer=oidc.issuer,
            client_id=oidc.client_id,
            client_secret=secret,
            redirect_url=public_url.rstrip("/") + BACK_PATH,
            name=oidc.name,
            groups_claim=oidc.groups_claim,
            roles=roles,
        ),
        seal,
    )

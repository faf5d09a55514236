"""Builds the pages out of the running parts."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from fleet.adapters.secret_files import new_local_token
from fleet.adapters.sms import ConsoleSmsSender
from fleet.adapters.staff_secrets import Argon2, seal_of
from fleet.config import FleetConfig
from fleet.errors import ConfigError
from fleet.oidc import provider_of
from fleet.parts import Pages, Parts
from fleet.ports_charts import Charts
from fleet.runtime.desk import AlarmService, DeskService, GridService
from fleet.runtime.membership import MembershipService
from fleet.runtime.saved_views import SavedViewService
from fleet.runtime.staff import StaffService
from fleet.store.accounts import AccountStore
from fleet.store.alarms import AlarmStore
from fleet.store.desk import DeskStore
from fleet.store.saved_views import SavedViewStore
from fleet.store.staff import StaffStore
from fleet.store.tokens import TokenStore
from fleet.web.app import create_app, stop_streams
from fleet.web.config import WebConfig


def make_app(config: FleetConfig, parts: Parts) -> Pages:
    """The pages and the API, and how to end their streams; raise ConfigError."""
    try:
        ZoneInfo(config.pages.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"pages.timezone {config.pages.timezone!r}: is unknown") from error

    seal = seal_of(config.data_dir)
    app = create_app(
        swaps=parts.swaps,
        cabinets=parts.cabinets,
        riders=parts.riders,
        offline=parts.offline,
        operations=parts.operations,
        reservations=parts.reservations,
        sockets=parts.area.sockets,
        stations=parts.area.stations,
        reports=parts.area.reports,
        accounts=AccountStore(parts.stores.database, key=parts.phone_key),
        clock=parts.clock,
        sms=ConsoleSmsSender(config.data_dir / "sms.jsonl", echo=typer.echo),
        config=WebConfig(
            public_url=parts.public_url,
            local_token=new_local_token(config.operator_token_file),
            locale=config.pages.locale,
            timezone=config.pages.timezone,
            support_phone=config.pages.support_phone,
            tiles=config.pages.tiles,
            starts_per_minute=config.limits.starts_per_minute,
        ),
        metrics_text=parts.metrics.render,
        checks=parts.checks,
        console=parts.console.board,
        records=parts.console.records,
        balance=parts.balance,
        steering=parts.steering,
        charts=make_charts(parts),
        asks=parts.ordering.asks,
        quarantines=parts.ordering.quarantines,
        rollouts=parts.ordering.rollouts,
        membership=MembershipService(
            plans=parts.stores.plans,
            partners=parts.stores.partners,
            privacy=parts.stores.privacy,
            riders=parts.stores.riders,
            key=parts.phone_key,
            audience=parts.public_url,
            clock=parts.clock,
        ),
        views=SavedViewService(SavedViewStore(parts.stores.database), parts.clock),
        provider=provider_of(config, parts.public_url, seal),
        staff=StaffService(
            rows=StaffStore(parts.stores.database),
            tokens=TokenStore(parts.stores.database),
            passwords=Argon2(),
            box=seal,
            clock=parts.clock,
        ),
    )
    return Pages(app, lambda: stop_streams(app))


def make_charts(parts: Parts) -> Charts:
    """The operator's desk over the running parts."""
    stores, clock, balance = parts.stores, parts.clock, parts.balance
    return Charts(
        desk=DeskService(
            rows=DeskStore(stores.database),
            lives=stores.batteries,
            riders=stores.riders,
            partners=stores.partners,
            plans=stores.plans,
            cabinets=parts.cabinets,
            clock=clock,
        ),
        alarms=AlarmService(AlarmStore(stores.database), clock),
        grid=GridService(stores.grids, parts.day, clock) if balance else None,
        asking=balance,
    )

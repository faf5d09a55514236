"""Builds the pages out of the running parts."""

from __future__ import annotations

import typer

from fleet.adapters.secret_files import new_local_token
from fleet.adapters.sms import ConsoleSmsSender
from fleet.adapters.staff_secrets import Argon2, seal_of
from fleet.config import FleetConfig
from fleet.oidc import provider_of
from fleet.parts import Pages, Parts
from fleet.ports import Cabinets, Clock
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
from fleet.stores import Stores
from fleet.web.app import create_app, stop_streams, streams_of
from fleet.web.config import WebConfig
from fleet.web.pages import Web


def make_app(config: FleetConfig, parts: Parts) -> Pages:
    """The pages and the API, and how to end their streams; raise ConfigError."""
    config.pages.zone()  # an unknown one is told now, not by the first page
    app = create_app(_web(config, parts))
    return Pages(app, lambda: stop_streams(app))


def _web(config: FleetConfig, parts: Parts) -> Web:
    seal = seal_of(config.data_dir)
    stores, clock = parts.stores, parts.clock
    web_config = _web_config(config, parts.public_url)
    return Web(
        swaps=parts.swaps,
        cabinets=parts.cabinets,
        riders=parts.riders,
        offline=parts.offline,
        operations=parts.operations,
        reservations=parts.reservations,
        sockets=parts.area.sockets,
        stations=parts.area.stations,
        reports=parts.area.reports,
        accounts=AccountStore(stores.database, key=parts.phone_key),
        clock=clock,
        sms=ConsoleSmsSender(config.data_dir / "sms.jsonl", echo=typer.echo),
        config=web_config,
        streams=streams_of(web_config),
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
        membership=_membership(parts),
        views=SavedViewService(SavedViewStore(stores.database), clock),
        provider=provider_of(config, parts.public_url, seal),
        staff=StaffService(
            rows=StaffStore(stores.database),
            tokens=TokenStore(stores.database),
            passwords=Argon2(),
            box=seal,
            clock=clock,
        ),
    )


def _web_config(config: FleetConfig, public_url: str) -> WebConfig:
    return WebConfig(
        public_url=public_url,
        local_token=new_local_token(config.operator_token_file),
        locale=config.pages.locale,
        timezone=config.pages.timezone,
        support_phone=config.pages.support_phone,
        tiles=config.pages.tiles,
        starts_per_minute=config.limits.starts_per_minute,
    )


def _membership(parts: Parts) -> MembershipService:
    return MembershipService(
        plans=parts.stores.plans,
        partners=parts.stores.partners,
        privacy=parts.stores.privacy,
        riders=parts.stores.riders,
        key=parts.phone_key,
        audience=parts.public_url,
        clock=parts.clock,
    )


def make_charts(parts: Parts) -> Charts:
    """The operator's desk over the running parts."""
    stores, clock, balance = parts.stores, parts.clock, parts.balance
    return Charts(
        desk=make_desk(stores, parts.cabinets, clock),
        alarms=AlarmService(AlarmStore(stores.database), clock),
        grid=GridService(stores.grids, parts.day, clock) if balance else None,
        asking=balance,
    )


def make_desk(stores: Stores, cabinets: Cabinets, clock: Clock) -> DeskService:
    """The lists of a desk over the store."""
    return DeskService(
        rows=DeskStore(stores.database),
        lives=stores.batteries,
        riders=stores.riders,
        partners=stores.partners,
        plans=stores.plans,
        cabinets=cabinets,
        clock=clock,
    )

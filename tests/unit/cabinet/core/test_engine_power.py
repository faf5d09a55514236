"""The engine over a toy cabinet: power, documents, snapshots."""

from __future__ import annotations

import dataclasses

import msgspec

from cabinet.core.engine_model import (
    DocumentReceived,
    Durable,
    JournalOutrun,
    Tick,
    UnlockOutcome,
    decode_durable,
    encode_durable,
)
from cabinet.core.model import (
    Output,
    SetCharger,
    SetOutput,
    Unlock,
    UnlockResult,
)
from cabinet.core.records import EpochRow, ListsRow, SnapshotRow
from cabinet.core.swap_model import (
    AwaitReturn,
)
from protocols.messages import Ack, DesiredConfig, DesiredList, DesiredPlan, SlotState
from tests.support.cabinet_rig import CABINET, WALL_MS, Hole, Rig, signed

# --- power --------------------------------------------------------------------------------------


def plan(watts: int = 500, **more: object) -> DesiredPlan:
    fields = {
        "cabinet": CABINET,
        "version": 1,
        "valid_from_ms": WALL_MS,
        "valid_until_ms": WALL_MS + 100_000_000,
        "step_s": 3_600,
        "power_w": (watts,) * 24,
        **more,
    }
    return signed(DesiredPlan(**fields))


def limit_w(rig: Rig) -> int | None:
    return rig.engine.telemetry(rig.state, rig.now).power_limit_w


def test_a_plan_that_the_broker_repeats_grows_no_younger_while_the_clock_is_wrong() -> None:
    """Each new connection brings the retained one again, also of a planner that is long dead."""
    hour_ms = 3_600_000
    old = plan(500, valid_until_ms=WALL_MS + 24 * hour_ms)
    rig = Rig(synced=False).ready()
    rig.feed(DocumentReceived(old))
    rig.now_ms += 23 * hour_ms
    rig.feed(DocumentReceived(old))
    assert limit_w(rig) == 500
    rig.now_ms += 2 * hour_ms
    rig.feed(DocumentReceived(old))
    assert limit_w(rig) == 1_000, "the safe local default"
    rig.feed(DocumentReceived(plan(600, version=2)))
    assert limit_w(rig) == 600


def test_a_plan_holds_inside_its_validity_only() -> None:
    rig = Rig().ready()
    assert limit_w(rig) == 1_000
    rig.feed(DocumentReceived(plan(500)))
    assert limit_w(rig) == 500
    rig.feed(DocumentReceived(plan(9_000, version=2)))
    assert limit_w(rig) == 3_000  # the breaker
    rig.feed(DocumentReceived(plan(400, version=3, valid_until_ms=WALL_MS + 1)))
    assert limit_w(rig) == 1_000
    rig.feed(
        DocumentReceived(
            plan(400, version=4, valid_from_ms=WALL_MS + 10**9, valid_until_ms=WALL_MS + 2 * 10**9)
        )
    )
    assert limit_w(rig) == 1_000


def test_a_plan_step_is_chosen_by_the_wall_clock() -> None:
    rig = Rig().ready()
    start = WALL_MS + rig.now_ms
    rig.feed(DocumentReceived(plan(valid_from_ms=start - 3_600_000, power_w=(100, 200, 300))))
    assert limit_w(rig) == 200


def test_a_lower_step_is_obeyed_somewhat_before_it_begins_and_a_higher_one_is_not() -> None:
    rig = Rig().ready()
    lead_ms = rig.engine.config.plan_lead_ms
    start = WALL_MS + rig.now_ms - 60_000
    rig.feed(DocumentReceived(plan(valid_from_ms=start, step_s=120, power_w=(900, 200, 800, 700))))
    wall_ms = start - WALL_MS
    for at_ms, watts in (
        (120_000 - lead_ms - 1, 900),
        (120_000 - lead_ms, 200),
        (120_000, 200),
        (240_000 - 1, 200),
        (240_000, 800),
        (360_000 - lead_ms, 700),
    ):
        rig.now_ms = wall_ms + at_ms
        assert limit_w(rig) == watts, at_ms


def test_a_plan_goes_by_the_day_that_is_shown_where_there_is_one() -> None:
    rig = Rig().ready()
    day_ms = WALL_MS + 10**10
    rig.feed(DocumentReceived(plan(valid_from_ms=day_ms, valid_until_ms=day_ms + 7_200_000)))
    assert limit_w(rig) == 1_000
    shown = dataclasses.replace(rig.now, day_ms=day_ms + 60_000)
    told = rig.engine.telemetry(rig.state, shown)
    assert told.power_limit_w == 500
    assert told.wall_ms == rig.now.wall_ms, "what is recorded is real time"


def test_with_an_untrusted_clock_a_plan_counts_from_its_receipt_by_its_least_step() -> None:
    rig = Rig(synced=False).ready()
    rig.feed(DocumentReceived(plan(power_w=(800, 300, 900), step_s=60)))
    assert limit_w(rig) == 300
    rig.now_ms += 179_000
    assert limit_w(rig) == 300
    rig.now_ms += 2_000
    assert limit_w(rig) == 1_000
    rig.boot()
    rig.run(500)
    assert limit_w(rig) == 1_000  # nobody knows how old it is


def test_documents_that_are_forged_old_or_not_ours_change_nothing() -> None:
    rig = Rig().ready()
    rig.feed(DocumentReceived(plan(500, version=5)))
    for bad in (
        msgspec.structs.replace(plan(100, version=6), sig="forged"),
        plan(100, version=4),
        plan(100, version=6, cabinet="DH-9999"),
    ):
        rig.feed(DocumentReceived(bad))
    assert limit_w(rig) == 500
    assert rig.state.refusals == {
        "document-bad-signature": 1,
        "document-old-version": 1,
        "document-wrong-cabinet": 1,
    }


def test_the_fleet_sets_the_target() -> None:
    rig = Rig().ready()
    values = {"target_soc_pct": 98, "power_default_w": 700}
    rig.feed(DocumentReceived(signed(DesiredConfig(cabinet=CABINET, version=1, values=values))))
    assert limit_w(rig) == 700
    assert rig.start().evidence == "slot_in=3 slot_out=1"


def test_a_pack_above_the_offer_line_is_offered_while_it_charges_on() -> None:
    rig = Rig().ready()
    rig.feed(
        DocumentReceived(
            signed(DesiredConfig(cabinet=CABINET, version=1, values={"target_soc_pct": 98}))
        )
    )
    rig.holes[1].soc_pct = 95
    rig.holes[2].soc_pct = 89
    rig.run(3_000)
    assert rig.chargers[1].on
    states = {slot.slot: slot.state for slot in rig.engine.telemetry(rig.state, rig.now).slots}
    assert states[1] is SlotState.READY
    assert states[2] is SlotState.CHARGING
    assert rig.start().evidence == "slot_in=3 slot_out=1"
    assert not rig.chargers[1].on  # off before the door opens


def test_a_plan_that_lets_packs_go_early_does_not_stop_their_charge() -> None:
    rig = Rig().ready()
    rig.holes[1].soc_pct = rig.holes[2].soc_pct = 76
    rig.run(3_000)
    assert rig.start().reason == "no-full-battery"
    rig.feed(DocumentReceived(plan(900, target_soc_pct=(75,) * 24)))
    rig.run(3_000)
    states = {slot.slot: slot.state for slot in rig.engine.telemetry(rig.state, rig.now).slots}
    assert states[1] is SlotState.READY
    assert rig.chargers[1].on
    assert rig.start().evidence == "slot_in=3 slot_out=1"


def test_a_plan_that_asks_for_more_charges_further() -> None:
    rig = Rig().ready()
    rig.feed(DocumentReceived(plan(900, target_soc_pct=(100,) * 24)))
    rig.run(3_000)
    assert rig.chargers[1].on  # at 99 per cent, where 90 is usual


def test_lists_take_effect_when_complete() -> None:
    rig = Rig().ready()

    def chunk(n: int, version: int = 1, **more: object) -> DocumentReceived:
        fields = {"cabinet": CABINET, "version": version, "chunk": n, "chunks": 2, **more}
        return DocumentReceived(signed(DesiredList(**fields)))

    rig.feed(chunk(0, packs=("YZ48-000001",)))
    rig.feed(chunk(0, packs=("YZ48-000001",)))
    assert rig.state.lists.version == 0
    rig.feed(chunk(1, denied_packs=("YZ48-000002",), denied_riders=("R234567ABCDEF",)))
    assert rig.state.lists.version == 1
    assert any(isinstance(row, ListsRow) for row in rig.writes)
    rig.run(200)
    assert rig.start().reason == "denied-rider"
    assert "denied" in rig.engine.telemetry(rig.state, rig.now).slots[1].flags
    rig.feed(chunk(0, version=3))
    rig.feed(chunk(1, version=2))
    assert rig.state.lists.version == 1


def test_chargers_are_told_on_change_and_again_when_they_do_not_obey() -> None:
    rig = Rig()
    rig.holes[4] = Hole("YZ48-000004", 40)
    rig.ready().run(3_000)
    told = len(rig.of(SetCharger))
    rig.run(5_000)
    assert len(rig.of(SetCharger)) == told
    rig.chargers[4] = SetCharger(4, on=False)  # it fell back by itself
    rig.run(5_000)
    assert rig.chargers[4].on
    assert len(rig.of(SetCharger)) == told + 1


def test_leases_are_told_on_change_only() -> None:
    rig = Rig().ready()
    rig.run(5_000)
    contactor = [e.on for e in rig.of(SetOutput) if e.output is Output.CONTACTOR]
    assert contactor == [True]


def test_looking_writes_nothing_when_nothing_happens() -> None:
    rig = Rig().ready()
    rig.run(5_000)
    writes = len(rig.writes)
    rig.run(20_000)
    assert len(rig.writes) == writes


def test_every_input_is_taken_before_the_first_image() -> None:
    rig = Rig()
    assert rig.feed(Tick()).effects == ()
    rig.feed(UnlockOutcome(1, "x", UnlockResult.SENT))
    assert rig.start().reason == "starting"
    assert not rig.of(Unlock)


# --- a replaced journal -------------------------------------------------------------------------


def test_a_fleet_that_knows_more_starts_a_new_epoch_with_an_inventory() -> None:
    rig = Rig().ready()
    last = rig.state.durable.seq
    rig.feed(JournalOutrun(Ack(epoch=1, seq=500, incarnation="i"), acked=0))
    assert EpochRow(1, 2) in rig.writes
    event = rig.events()[-1]
    assert (event.epoch, event.seq, event.type) == (2, last + 1, "inventory")
    rig.feed(JournalOutrun(Ack(epoch=1, seq=500, incarnation="i"), acked=0))
    assert rig.state.durable.epoch == 2


# --- snapshots ----------------------------------------------------------------------------------


def test_a_snapshot_of_an_older_version_decodes_with_defaults() -> None:
    old = b'{"seq":7,"swap":{"state":"await-return","since_ms":5,"job":{"swap_id":"S","kind":"swap","rider_id":"R","slot_in":3,"slot_out":1,"step":"await-return"}}}'
    durable = decode_durable(old)
    assert durable.seq == 7
    assert isinstance(durable.swap, AwaitReturn)
    assert durable.swap.job.serial_in is None
    assert decode_durable(encode_durable(durable)) == durable


def test_an_unknown_field_of_a_newer_version_is_passed_over() -> None:
    assert decode_durable(b'{"seq":1,"later":true}') == Durable(seq=1)


def test_states_of_a_swap_survive_the_disk_at_every_input() -> None:
    rig = Rig().ready()
    rig.whole_swap()
    for row in rig.writes:
        if isinstance(row, SnapshotRow):
            assert encode_durable(decode_durable(row.data)) == row.data


def test_telemetry_of_a_quiet_cabinet() -> None:
    rig = Rig().ready()
    seen = rig.engine.telemetry(rig.state, rig.now, ("store",))
    assert [s.state for s in seen.slots] == [
        SlotState.READY,
        SlotState.READY,
        SlotState.EMPTY,
        SlotState.EMPTY,
    ]
    assert seen.alarms == ("store",)
    assert seen.active_swap is None
    rig.start()
    rig.run(300)
    seen = rig.engine.telemetry(rig.state, rig.now)
    assert [s.state for s in seen.slots][::2] == [SlotState.RESERVED, SlotState.RESERVED]
    assert seen.active_swap == "SWAP-1"

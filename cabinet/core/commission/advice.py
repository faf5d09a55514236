"""Likely cause and next step of every cause, for the technician, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from cabinet.core.commission.findings import Cause

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Advice:
    """One language's texts."""

    cause: str
    next_step: str


def advice(cause: Cause, language: Language) -> Advice:
    """The texts of a cause."""
    return (_ENGLISH if language == "en" else _CHINESE)[cause]


_ENGLISH: Final[Mapping[Cause, Advice]] = MappingProxyType(
    {
        Cause.NO_ANSWER: Advice(
            "no power at the device, A and B swapped, a loose plug, or a speed or address that was "
            "not tried",
            "look at the device's power light, swap A and B, check the 120 ohm ends; then scan again "
            "with --thorough --addresses 1-247",
        ),
        Cause.EMPTY_SLOT: Advice(
            "no battery stands in this slot, or its plug is off",
            "put a battery in and scan again; until then the port counts as a battery port",
        ),
        Cause.NO_MAINS: Advice(
            "chargers are silent without mains, and nobody holds the contactor and the slots' relays",
            "scan again with --power --yes: it holds these relays while it looks and lets them go",
        ),
        Cause.NOISE: Advice(
            "something talks, but not understandably: other speed or parity, A and B swapped, "
            "missing bias or ground, or a second master on the line",
            "disconnect every other master, check ground and A/B, scan with --thorough",
        ),
        Cause.ECHO: Advice(
            "the adapter hears itself: its receiver stays on while it sends",
            "turn the echo off at the adapter (jumper or driver), or use another adapter",
        ),
        Cause.COLLISION: Advice(
            "answers are garbled at this address only: two devices share it",
            "disconnect one of them and give it another address: cabinetd commission address",
        ),
        Cause.PORT_BUSY: Advice(
            "another program holds the port",
            "stop that program (the daemon: sudo systemctl stop cabinetd), then try again",
        ),
        Cause.PORT_MISSING: Advice(
            "the port is not there: adapter unplugged, or its name has changed",
            "plug it in and look with: ls -l /dev/serial/by-path",
        ),
        Cause.PORT_DENIED: Advice(
            "this user may not open the port",
            "run it as the daemon's user, or join the group: sudo usermod -aG dialout $USER",
        ),
        Cause.PORT_UNFIT: Advice(
            "the port opens but refuses these settings",
            "use another adapter, or choose speeds with --bauds",
        ),
        Cause.UNKNOWN_DEVICE: Advice(
            "a Modbus device answers that none of the known types fits",
            "compare its label with: cabinetd devices; a type without a driver cannot be used",
        ),
        Cause.UNSTEADY: Advice(
            "an answer came from this address, but none when it was asked what it is: very slow, a bad "
            "contact, or another device that signs with a wrong address",
            "take the other devices off the bus and scan again",
        ),
        Cause.SLOW: Advice(
            "it answers later than its type should: a busy or long bus, a converter in between",
            "look at the wiring; else give it more time: processing_ms of its [[device]]",
        ),
        Cause.SCANNER_PORT: Advice(
            "by its name this is a barcode scanner, which only talks",
            "nothing to do; scan a code at the kiosk page to test it",
        ),
        Cause.NEEDS_YES: Advice(
            "this moves something: it was not tried without --yes",
            "stand before the cabinet, keep hands off, and run the command again with --yes",
        ),
        Cause.REFUSED: Advice(
            "the device answered and refused",
            "it is another model than configured, or in a mode that needs its manual",
        ),
        Cause.BAD_REPLY: Advice(
            "the device's answers make no sense",
            "check that type and speed in the configuration are those on its label",
        ),
        Cause.LOCK_JAMMED: Advice(
            "the pulse went out but the door did not open: lock jammed, its cable or fuse, the "
            "lock's supply voltage, or the door switch does not tell",
            "listen for the click; click: free the bolt or check the switch; none: measure the "
            "lock's plug during a pulse",
        ),
        Cause.DOOR_OPEN: Advice(
            "the door already stands open, so that nothing can be learnt from a pulse",
            "close it and run the check again",
        ),
        Cause.DOOR_NEVER_CLOSED: Advice(
            "the switch never told a closed door: not closed, switch out of place, or turned over",
            "press the door shut; if it is shut, set invert = true for this door or move the switch",
        ),
        Cause.DOOR_NOT_MOVED: Advice(
            "the switch did not change: cable, switch, or the channel of another door",
            "work the switch by hand while watching: cabinetd commission door --watch 60",
        ),
        Cause.DOOR_BOUNCES: Advice(
            "the switch chatters: it sits at the edge of its range or its contact is worn",
            "move it nearer to the door, or replace it",
        ),
        Cause.DOOR_ELSEWHERE: Advice(
            "another door opened: lock or switch cables are swapped",
            "swap the plugs, or the channels in the configuration",
        ),
        Cause.PULSE_UNSURE: Advice(
            "the board did not confirm the pulse, so it may or may not have fired",
            "look at the door; check the board's bus cable and supply, then try again",
        ),
        Cause.NOT_INSERTED: Advice(
            "the presence switch saw no battery: none was put in, or the switch does not reach it",
            "push it to the stop; if it is in, move or replace the presence switch",
        ),
        Cause.NOT_REMOVED: Advice(
            "the presence switch still sees a battery: not taken out, or the switch sticks",
            "take it out; if it is out, free or replace the switch",
        ),
        Cause.BMS_SILENT: Advice(
            "a battery stands there but does not answer: plug not seated, data wires, a sleeping or "
            "dead BMS, or the port of another slot",
            "pull and push the battery; wake it with a charger; then swap it with one that works",
        ),
        Cause.BMS_WITHOUT_SWITCH: Advice(
            "a battery answers, but the presence switch sees none",
            "move or replace the presence switch, or set invert = true for it",
        ),
        Cause.BMS_ELSEWHERE: Advice(
            "the battery answers at another slot's port: data cables are swapped",
            "swap the cables, or the slots' bms in the configuration",
        ),
        Cause.NO_SERIAL: Advice(
            "the battery tells no serial number; it would never be charged or offered",
            "have its barcode register written in the workshop",
        ),
        Cause.SERIAL_TWICE: Advice(
            "two batteries tell the same serial number, or one is read at two ports",
            "take one out: if both readings go, cables are bridged; else send one to the workshop",
        ),
        Cause.PROTECTION: Advice(
            "the battery's own protection stands",
            "let it rest; if it stays, quarantine it and send it to the workshop",
        ),
        Cause.CELL_IMBALANCE: Advice(
            "its cells are far apart: an aged cell or a bad balance wire",
            "charge it fully once and look again; if it stays, send it to the workshop",
        ),
        Cause.CELL_IMPLAUSIBLE: Advice(
            "its cells and its total voltage do not fit together",
            "a sense wire is loose; quarantine it",
        ),
        Cause.PACK_FOREIGN: Advice(
            "its voltage is not that of the configured batteries",
            "check [pack] in the configuration; never charge it here",
        ),
        Cause.PACK_HOT: Advice(
            "it is too hot to be charged",
            "let it cool outside; if it warms up without current, treat it as dangerous",
        ),
        Cause.PACK_COLD: Advice(
            "it is too cold to be charged",
            "let it warm up; it is charged from 0 degrees",
        ),
        Cause.NO_SENSOR: Advice(
            "it tells no temperature, so it would not be charged",
            "check its sensor's plug in the workshop",
        ),
        Cause.OUTPUT_ON: Advice(
            "the charger's output was on before anybody ordered it",
            "set its boot output to off (the daemon does at its start) and check who used it",
        ),
        Cause.CHARGER_LATCHED: Advice(
            "its over-voltage or over-current protection has latched",
            "take its mains away for ten seconds; if it comes back, measure battery and cables",
        ),
        Cause.NO_CURRENT: Advice(
            "no current flows: charge cable or fuse, the battery's charge switch, or the charger's "
            "output",
            "measure the voltage at the slot's contacts with the charger on",
        ),
        Cause.CURRENT_ELSEWHERE: Advice(
            "the charger gives current, but this slot's battery sees none: the charge cables of two "
            "slots are swapped, or its BMS does not see so little",
            "look which battery sees it: cabinetd commission bms; charge again with more current",
        ),
        Cause.CURRENT_UNSTOPPED: Advice(
            "current still flows after the charger was ordered off",
            "pull the slot's fuse now and replace the charger",
        ),
        Cause.PACK_FULL: Advice(
            "the battery is full, so that no current can be seen",
            "use one that is not full",
        ),
        Cause.MAINS_VOLTAGE: Advice(
            "the mains is outside 195 to 255 V, or the meter is wired wrong",
            "measure it; below: too thin or too long a supply; above: neutral lost, switch off",
        ),
        Cause.POWER_NEGATIVE: Advice(
            "the cabinet seems to feed the grid: the meter's current path is reversed",
            "swap in and out at the meter, or its transformer's side",
        ),
        Cause.CLIMATE_IMPLAUSIBLE: Advice(
            "no place on earth is like this: a clone with another scale, or a broken sensor",
            "compare with a thermometer; replace it",
        ),
        Cause.ADDRESS_TAKEN: Advice(
            "a device already answers at the new address: both would talk at once",
            "choose a free address, or disconnect the other one",
        ),
        Cause.ADDRESS_NOT_TAKEN_UP: Advice(
            "the device took the order but answers at neither address",
            "switch its power off and on, then scan; some need a button or a jumper to allow it",
        ),
        Cause.ADDRESS_AFTER_POWER: Advice(
            "the device still answers at its old address: it changes with the next power-up",
            "switch its power off and on, then scan",
        ),
    }
)

_CHINESE: Final[Mapping[Cause, Advice]] = MappingProxyType(
    {
        Cause.NO_ANSWER: Advice(
            "设备没电、A/B 线接反、插头松动，或波特率、地址未试到",
            "看设备电源灯，对调 A/B，检查两端 120 欧电阻；再用 --thorough --addresses 1-247 扫描",
        ),
        Cause.EMPTY_SLOT: Advice(
            "该仓没有电池，或电池插头未插好", "放入电池后再扫描；在此之前该端口按电池端口处理"
        ),
        Cause.NO_MAINS: Advice(
            "充电器没有市电就不应答，此刻没有程序保持接触器和各仓继电器",
            "加 --power --yes 再扫描：扫描期间吸合这些继电器，结束后释放",
        ),
        Cause.NOISE: Advice(
            "有信号但无法识别：波特率或校验不同、A/B 接反、缺偏置或地线，或线上有第二个主机",
            "断开其他主机，检查地线和 A/B，用 --thorough 扫描",
        ),
        Cause.ECHO: Advice(
            "适配器听到自己的发送：发送时接收未关闭", "在适配器上关闭回显（跳线或驱动），或换适配器"
        ),
        Cause.COLLISION: Advice(
            "只有这个地址的应答是乱的：两台设备地址相同",
            "断开其中一台并改地址：cabinetd commission address",
        ),
        Cause.PORT_BUSY: Advice(
            "另一个程序占用该端口",
            "停止该程序（守护进程：sudo systemctl stop cabinetd）后再试",
        ),
        Cause.PORT_MISSING: Advice(
            "端口不存在：适配器被拔出，或名称变了", "插好后查看：ls -l /dev/serial/by-path"
        ),
        Cause.PORT_DENIED: Advice(
            "当前用户无权打开该端口",
            "用守护进程的用户运行，或加入用户组：sudo usermod -aG dialout $USER",
        ),
        Cause.PORT_UNFIT: Advice("端口能打开但不接受这些参数", "换适配器，或用 --bauds 指定波特率"),
        Cause.UNKNOWN_DEVICE: Advice(
            "有 Modbus 设备应答，但不属于任何已知型号",
            "对照铭牌查看：cabinetd devices；没有驱动的型号不能使用",
        ),
        Cause.UNSTEADY: Advice(
            "该地址有过应答，但再问型号时没有：非常慢、接触不良，或另一台设备用错地址应答",
            "把其他设备从总线上断开后再扫描",
        ),
        Cause.SLOW: Advice(
            "应答比该型号应有的慢：总线繁忙或过长，或中间有转换器",
            "检查接线；否则放宽该 [[device]] 的 processing_ms",
        ),
        Cause.SCANNER_PORT: Advice(
            "从名称看是扫码器，只发不收", "无需处理；在自助页面扫一个码即可测试"
        ),
        Cause.NEEDS_YES: Advice(
            "这会让部件动作：没有 --yes 不执行", "站在柜前、手离开柜门，加 --yes 再运行"
        ),
        Cause.REFUSED: Advice("设备应答但拒绝执行", "型号与配置不符，或处于需要查手册的模式"),
        Cause.BAD_REPLY: Advice("设备的应答不合理", "核对配置中的型号、波特率与铭牌是否一致"),
        Cause.LOCK_JAMMED: Advice(
            "脉冲已发出但门没开：锁卡住、锁线或保险、锁的电源，或门磁没有反应",
            "听是否有咔嗒声：有，则松开锁舌或检查门磁；没有，则在脉冲时测量锁插头电压",
        ),
        Cause.DOOR_OPEN: Advice("门已经开着，脉冲看不出结果", "关上门再检查"),
        Cause.DOOR_NEVER_CLOSED: Advice(
            "门磁从未报告关闭：门没关、门磁位置不对或极性相反",
            "把门压紧；若已关好，为该门设 invert = true 或调整门磁",
        ),
        Cause.DOOR_NOT_MOVED: Advice(
            "门磁没有变化：线、门磁，或是另一扇门的通道",
            "用手拨动门磁并观察：cabinetd commission door --watch 60",
        ),
        Cause.DOOR_BOUNCES: Advice("门磁抖动：处在感应边缘或触点磨损", "让门磁靠近门，或更换"),
        Cause.DOOR_ELSEWHERE: Advice(
            "打开的是另一扇门：锁线或门磁线接错", "对调插头，或改配置中的通道"
        ),
        Cause.PULSE_UNSURE: Advice(
            "板卡没有确认脉冲，可能已动作也可能没有", "看门是否已开；检查板卡总线和电源后再试"
        ),
        Cause.NOT_INSERTED: Advice(
            "在位开关没有检测到电池：没放入，或够不到", "推到底；若已放入，调整或更换在位开关"
        ),
        Cause.NOT_REMOVED: Advice(
            "在位开关仍检测到电池：没取出，或开关卡住", "取出电池；若已取出，松开或更换开关"
        ),
        Cause.BMS_SILENT: Advice(
            "有电池但不应答：插头没插好、数据线、BMS 休眠或损坏，或接到了别的仓的端口",
            "拔插电池；用充电器唤醒；再换一块好的电池对比",
        ),
        Cause.BMS_WITHOUT_SWITCH: Advice(
            "电池有应答，但在位开关没有检测到", "调整或更换在位开关，或为它设 invert = true"
        ),
        Cause.BMS_ELSEWHERE: Advice(
            "电池在另一仓的端口应答：数据线接错", "对调数据线，或改配置中各仓的 bms"
        ),
        Cause.NO_SERIAL: Advice("电池没有序列号，将永不充电、永不借出", "由维修间写入条码寄存器"),
        Cause.SERIAL_TWICE: Advice(
            "两块电池序列号相同，或一块在两个端口被读到",
            "取出一块：若两处都消失，则线被并接；否则送修一块",
        ),
        Cause.PROTECTION: Advice("电池自身保护已触发", "静置；若仍在，隔离并送修"),
        Cause.CELL_IMBALANCE: Advice(
            "电芯压差过大：电芯老化或均衡线不良", "完整充一次再看；若仍在，送修"
        ),
        Cause.CELL_IMPLAUSIBLE: Advice("电芯电压与总电压不符", "采样线松动；隔离"),
        Cause.PACK_FOREIGN: Advice("电压与配置的电池不符", "检查配置中的 [pack]；不要在此充电"),
        Cause.PACK_HOT: Advice("温度过高，不能充电", "在室外冷却；若无电流仍升温，按危险电池处理"),
        Cause.PACK_COLD: Advice("温度过低，不能充电", "回温后再充；0 度起充"),
        Cause.NO_SENSOR: Advice("没有温度读数，不会充电", "送修检查传感器插头"),
        Cause.OUTPUT_ON: Advice(
            "无人下令，充电器输出却已打开", "把上电输出设为关（守护进程启动时会设），并查明谁用过"
        ),
        Cause.CHARGER_LATCHED: Advice(
            "过压或过流保护已锁定", "断市电十秒；若再次出现，测量电池和线缆"
        ),
        Cause.NO_CURRENT: Advice(
            "没有电流：充电线或保险、电池充电开关，或充电器输出", "充电器打开时测量仓内触点电压"
        ),
        Cause.CURRENT_ELSEWHERE: Advice(
            "充电器有电流，但该仓电池没有读到：两仓充电线接反，或 BMS 读不到这么小的电流",
            "查看哪块电池读到：cabinetd commission bms；加大电流再试",
        ),
        Cause.CURRENT_UNSTOPPED: Advice("已下令关闭，电流仍在", "立即拔下该仓保险并更换充电器"),
        Cause.PACK_FULL: Advice("电池已满，看不出电流", "换一块未充满的"),
        Cause.MAINS_VOLTAGE: Advice(
            "市电不在 195 至 255 V 之间，或电表接线错误",
            "测量；偏低：供电线太细太长；偏高：零线断，立即断电",
        ),
        Cause.POWER_NEGATIVE: Advice(
            "柜子像在向电网送电：电表电流方向接反", "对调电表进出线或互感器方向"
        ),
        Cause.CLIMATE_IMPLAUSIBLE: Advice(
            "读数不合理：比例不同的仿品，或传感器损坏", "与温度计对比；更换"
        ),
        Cause.ADDRESS_TAKEN: Advice(
            "新地址已有设备应答，两台会同时说话", "换一个空地址，或断开另一台"
        ),
        Cause.ADDRESS_NOT_TAKEN_UP: Advice(
            "设备接受了命令，但新旧地址都不应答", "断电再上电后扫描；有的需要按键或跳线允许"
        ),
        Cause.ADDRESS_AFTER_POWER: Advice(
            "设备仍在旧地址应答：下次上电后才生效", "断电再上电后扫描"
        ),
    }
)

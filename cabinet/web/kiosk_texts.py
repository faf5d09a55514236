"""Words of the kiosk page in both languages.

``PROMPTS`` has a title for the eye and a sentence for the ear per key of ``core.prompts``; the keys
are stable, so that a cabinet may play recordings by them. ``{slot}`` is the number of the door.
"""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("zh", "en")

#: key: (zh title, zh sentence, en title, en sentence)
PROMPTS: Final[dict[str, tuple[str, str, str, str]]] = {
    "welcome": ("扫码换电", "请用手机扫描屏幕上的二维码换电。",
                "Scan to swap", "Scan the code on the screen with your phone to swap."),
    "welcome-offline": ("无网络：用编号和验证码换电", "现在没有网络，请用骑手编号和验证码换电，或出示换电凭证。",
                        "No network: swap by number and code",
                        "There is no network now. Swap with your rider number and code, or show your ticket."),
    "starting": ("正在启动", "换电柜正在启动，请稍候。",
                 "Starting", "The cabinet is starting. Please wait."),
    "keep-away": ("请远离换电柜", "换电柜发生告警，请马上远离，不要打开柜门。",
                  "Keep away", "There is an alarm. Please step away and do not open any door."),
    "no-full-battery": ("暂无满电电池", "现在没有充好的电池，请稍后再来。",
                        "No full battery", "There is no full battery now. Please come back later."),
    "no-empty-slot": ("暂无空仓", "现在没有空仓，请稍后再来。",
                      "No empty slot", "There is no empty slot now. Please come back later."),
    "clock-untrusted": ("暂时不能换电", "没有网络，柜内时钟也不可靠，现在不能用验证码换电。",
                        "No swap for now",
                        "There is no network and the cabinet does not trust its clock, so codes cannot be checked."),
    "store": ("换电柜故障", "换电柜无法记录，现在不能换电，请联系客服。",
              "Out of order", "The cabinet cannot keep records, so nothing opens now. Please call us."),
    "open-return": ("{slot} 号仓门正在打开", "{slot}号仓门正在打开。",
                    "Door {slot} is opening", "Door {slot} is opening."),
    "put-battery": ("把电池放入 {slot} 号仓", "请把旧电池放入{slot}号仓，插好并关门。",
                    "Put your battery into {slot}",
                    "Put your old battery into slot {slot}, plug it in and shut the door."),
    "nothing-in": ("{slot} 号仓是空的", "{slot}号仓里没有电池。请点“再次开门”，放入电池。",
                   "Slot {slot} is empty",
                   "There is no battery in slot {slot}. Press Open again and put it in."),
    "checking": ("正在识别 {slot} 号仓的电池", "正在识别电池，请稍候。",
                 "Checking slot {slot}", "Checking your battery. Please wait."),
    "take-back": ("从 {slot} 号仓取回电池", "请从{slot}号仓取回你的电池并关门。",
                  "Take your battery back from {slot}",
                  "Take your battery back from slot {slot} and shut the door."),
    "open-pickup": ("{slot} 号仓门正在打开", "{slot}号仓门正在打开。",
                    "Door {slot} is opening", "Door {slot} is opening."),
    "take-battery": ("从 {slot} 号仓取走满电电池", "请从{slot}号仓取走满电电池并关门。",
                     "Take the full battery from {slot}",
                     "Take the full battery from slot {slot} and shut the door."),
    "not-taken": ("{slot} 号仓的电池还没取走", "{slot}号仓的电池还没取走。请点“再次开门”。",
                  "Battery {slot} not taken yet",
                  "The full battery is still in slot {slot}. Press Open again to take it."),
    "close-door": ("请关上 {slot} 号仓门", "请关上{slot}号仓门。",
                   "Shut door {slot}", "Please shut door {slot}."),
    "cancelling": ("请关上 {slot} 号仓门", "正在取消，请关上{slot}号仓门。",
                   "Shut door {slot}", "It is being cancelled. Please shut door {slot}."),
    "done": ("换电完成", "换电完成，一路平安。",
             "Done", "All done. Ride safely."),
    "rejected": ("电池未被接受", "这块电池不能在此换电，已还给你。",
                 "Battery not accepted", "This battery cannot be swapped here. You have it back."),
    "cancelled": ("已取消", "已取消，没有更换电池。",
                  "Cancelled", "It was cancelled. Nothing was exchanged."),
    "faulted": ("没有完成", "这次没有完成。请联系客服，并报出换电柜编号。",
                "Not finished", "This could not be finished. Please call us and tell the cabinet's number."),
}  # fmt: skip

#: reason: (zh, en)
REASONS: Final[dict[str, tuple[str, str]]] = {
    "starting": ("换电柜正在启动，请稍候。", "The cabinet is starting. Please wait."),
    "clock-untrusted": ("柜内时钟不可靠，现在不能验证。请稍后再试。",
                        "The cabinet does not trust its clock, so it cannot check this. Try later."),
    "no-group-key": ("这台换电柜不支持编号换电。请出示换电凭证。",
                     "This cabinet takes no numbers and codes. Show your ticket."),
    "bad-number": ("编号不对，请检查八位骑手编号。", "Not a rider number. Check its eight digits."),
    "bad-code": ("验证码是六位数字。", "A code has six digits."),
    "wrong-code": ("验证码不对。请看手机上最新的验证码。", "Wrong code. Look at the newest one on your phone."),
    "code-used": ("这个验证码已用过，请等下一个。", "This code was used. Wait for the next one."),
    "keypad-locked": ("输错太多次，键盘已锁定。", "Too many wrong codes: the keypad is locked."),
    "number-locked": ("这个编号输错太多次，请稍后再试，或出示换电凭证。",
                      "Too many wrong codes for this number. Try later, or show your ticket."),
    "kind-needs-ticket": ("这项服务需要换电凭证。", "This needs a ticket."),
    "kind-not-allowed": ("凭证不适用于这项服务。", "The ticket is not for this."),
    "denied-rider": ("你的账号现在不能换电，请联系客服。", "Your account cannot swap now. Please call us."),
    "offline-limit": ("今天在这台柜的无网络换电次数已用完。", "You have used today's swaps by code at this cabinet."),
    "bad-ticket": ("这不是换电凭证。", "This is not a ticket."),
    "bad-signature": ("凭证无效。", "The ticket is not valid."),
    "wrong-cabinet": ("凭证属于另一台换电柜。", "The ticket is for another cabinet."),
    "ticket-early": ("凭证还没生效。", "The ticket is not valid yet."),
    "ticket-expired": ("凭证已过期。", "The ticket has expired."),
    "ticket-life": ("凭证无效。", "The ticket is not valid."),
    "ticket-used": ("凭证已用过。", "The ticket was used."),
    "no-swap": ("没有正在进行的换电。", "No swap of yours is under way."),
    "busy": ("有人正在换电，请稍候。", "Somebody else is swapping. Please wait."),
    "other-swap": ("有人正在换电，请稍候。", "Somebody else is swapping. Please wait."),
    "stale": ("换电柜太忙，请再试一次。", "The cabinet was too busy. Please try again."),
    "no-full-battery": ("现在没有充好的电池。", "There is no full battery now."),
    "no-empty-slot": ("现在没有空仓。", "There is no empty slot now."),
    "last-empty-slot": ("最后一个空仓留给换电使用。", "The last empty slot is kept for swaps."),
    "pickup-owed": ("你的电池已存入，请取走满电电池。", "Your battery is in already. Take the full one."),
    "slot-not-loaded": ("这个仓里没有电池。", "There is no battery in that slot."),
    "slot-not-empty": ("这个仓不是空的。", "That slot is not empty."),
    "slot-required": ("没有指定仓位。", "No slot was named."),
    "wrong-pack": ("这块电池型号不符。", "This battery is of another kind."),
    "doors-locked": ("换电柜发生告警，柜门已锁定。", "There is an alarm: the doors stay locked."),
    "slot-locked": ("这个仓门因安全原因锁定。", "This door stays locked for safety."),
    "door-not-shut": ("请先关上打开的仓门。", "Shut the open door first."),
    "too-late": ("旧电池已收下，请取走满电电池。", "Your battery is in. Please take the full one."),
    "out-of-place": ("现在不能这样做。", "That cannot be done now."),
    "nothing-returned": ("你的电池还没放入。", "Your battery is not in yet."),
    "foreign-pack": ("这块电池不属于本网络。", "This battery is not one of this network."),
    "denied-pack": ("这块电池已被停用。", "This battery is blocked."),
    "duplicate-serial": ("这块电池的编号重复。", "The number of this battery was seen twice."),
    "return-timeout": ("等了太久，没有放入电池。", "No battery was put in for too long."),
    "nothing-inserted": ("门关上了，但里面没有电池。", "The door was shut with nothing inside."),
    "no-bms": ("读不到这块电池的信息，请插紧插头。", "This battery does not answer. Plug it in firmly."),
    "quarantined": ("这块电池过热或已损坏，由电柜保管。", "This battery is hot or damaged and stays in the cabinet."),
    "not-taken-back": ("退回的电池没有取走。", "The battery that was given back was not taken."),
    "not-taken": ("满电电池没有取走。", "The full battery was not taken."),
    "own-battery": ("你取回了自己的电池。", "You took your own battery back."),
    "rider": ("你取消了换电。", "You cancelled it."),
    "cancelled": ("你取消了换电。", "You cancelled it."),
    "door-stuck": ("仓门打不开。", "The door does not open."),
    "door-unknown": ("看不清仓门是开是关。", "It cannot be seen whether the door is shut."),
    "slot-unknown": ("看不清仓里的情况。", "It cannot be seen what is in the slot."),
    "occupied": ("分配的空仓里已有东西，已换一个仓。", "The slot was not empty; another one is used."),
    "smoke": ("检测到烟雾。", "There is smoke."),
    "over-temperature": ("温度过高。", "It is too hot."),
    "service-door": ("维护门开着。", "The service door is open."),
    "door-left-open": ("仓门还开着，请关上。", "A door is still open. Please shut it."),
    "store": ("换电柜无法记录，现在不能换电。", "The cabinet cannot keep records, so nothing opens now."),
    "limited": ("操作太快，请稍候。", "Too fast. Please wait a moment."),
    "token": ("页面已过期，正在刷新。", "The page is too old and loads again."),
    "origin": ("请求被拒绝。", "The request was refused."),
    "form": ("输入有误。", "That input is not right."),
    "unknown": ("没有成功，请再试一次或联系客服。", "That did not work. Try again, or call us."),
}  # fmt: skip

#: The rest of the page: (zh, en)
WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("换电柜", "Swap cabinet"),
    "sockets": ("充电插座", "Charging sockets"),
    "socket-how": ("插好充电器，用手机扫插座上的二维码，即可开始充电。",
                   "Plug your charger in and scan the code on the socket with your phone to start."),
    "socket-how-offline": ("没有网络时不能开始插座充电。", "Sockets cannot be started without a network."),
    "socket-idle": ("空闲", "free"),
    "socket-on": ("使用中", "in use"),
    "socket-paused": ("使用中", "in use"),
    "socket-ending": ("使用中", "in use"),
    "socket-faulted": ("停用", "out of order"),
    "socket-unknown": ("未知", "unknown"),
    "no-network": ("无网络", "No network"),
    "start": ("用编号和验证码换电", "Swap by number and code"),
    "scan-here": ("扫码换电", "Scan to swap"),
    "scan-for-code": ("扫码查看编号和验证码", "Scan for your number and code"),
    "ticket-hint": ("或在扫描器前出示换电凭证", "or hold your ticket before the scanner"),
    "number": ("骑手编号（8 位）", "Rider number (8 digits)"),
    "code": ("验证码（6 位）", "Code (6 digits)"),
    "for-go": ("换电", "Swap"),
    "for-again": ("再次开门", "Open again"),
    "for-cancel": ("取消", "Cancel"),
    "for-give-back": ("取回我的电池", "My battery back"),
    "who": ("请证明是你：输入编号和验证码，或出示凭证", "Show that it is you: number and code, or your ticket"),
    "back": ("返回", "Back"),
    "delete": ("删除", "Delete"),
    "ok": ("确定", "OK"),
    "help": ("帮助", "Help"),
    "help-text": (
        "1. 在手机页面查看骑手编号和验证码。2. 在这里输入。3. 按屏幕提示操作。需要人工帮助时，请联系客服并报出换电柜编号。",
        "1. Find your rider number and code on your phone. 2. Type them here. 3. Do what the screen says. "
        "For help by a person, call us and tell the cabinet's number.",
    ),
    "slot": ("仓", "Slot"),
    "full": ("可换", "full"),
    "empty": ("空仓", "empty"),
    "door-open": ("门已开", "door open"),
    "wait": ("请稍候…", "One moment…"),
    "seconds": ("秒", "s"),
    "accepted": ("已受理，请看仓号", "Accepted: watch for the number"),
    "lost": ("屏幕与换电柜失去联系，正在重连…", "The screen has lost the cabinet and tries again…"),
    "language": ("English", "中文"),
    "pad": ("数字键盘", "Number pad"),
    "slots": ("仓门一览", "Doors as they stand"),
    "state-empty": ("空仓", "empty"),
    "state-charging": ("充电中", "charging"),
    "state-waiting": ("等待", "waiting"),
    "state-ready": ("可换", "ready"),
    "state-reserved": ("使用中", "in use"),
    "state-quarantine": ("隔离", "set aside"),
    "state-faulted": ("故障", "faulty"),
    "state-out-of-service": ("停用", "closed"),
    "state-unknown": ("未知", "unknown"),
}  # fmt: skip


def say(key: str, slot: int | None, reason: str | None) -> dict[str, dict[str, str]]:
    """Title, sentence and why, per language."""
    title_zh, sentence_zh, title_en, sentence_en = PROMPTS[key]
    number = "" if slot is None else str(slot)
    why_zh, why_en = REASONS.get(reason, ("", "")) if reason is not None else ("", "")
    return {
        "zh": _filled(title_zh, sentence_zh, why_zh, number),
        "en": _filled(title_en, sentence_en, why_en, number),
    }


def _filled(title: str, sentence: str, why: str, number: str) -> dict[str, str]:
    return {
        "title": title.replace("{slot}", number),
        "text": sentence.replace("{slot}", number),
        "why": why,
    }


def texts() -> dict[str, dict[str, str]]:
    """Every word and reason per language: ``{"zh": {"start": …, "reason.busy": …}, "en": …}``."""
    flat = {**WORDS, **{f"reason.{key}": pair for key, pair in REASONS.items()}}
    return {
        language: {key: pair[number] for key, pair in flat.items()}
        for number, language in enumerate(LANGUAGES)
    }

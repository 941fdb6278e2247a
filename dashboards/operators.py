"""Operators: who may promote, roll back, ramp, stop and note, and the buttons for it. Without a token there are none.

Read-only by default. An operator signs in with the token in BAKEOFF_OPERATOR_TOKEN, or through OIDC (`st.login`) when
`.streamlit/secrets.toml` has an [auth] section and names his address under [operators] emails.
"""

import hmac
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboards import queries
from dashboards.markdown import escape
from dashboards.numbers import percent
from experiments.home import Home
from experiments.store import ExperimentStore, Record

if TYPE_CHECKING:
    from experiments.journal import Slots

VARIABLE = "BAKEOFF_OPERATOR_TOKEN"
PAUSE = 1.0
"""Seconds that a wrong token costs."""
NAME, TOKEN, DONE = "operator name", "operator token", "operator done"


def configured() -> bool:
    """Whether anybody could sign in at all."""
    return bool(os.environ.get(VARIABLE)) or "auth" in _secrets()


def signed_in() -> str | None:
    """Who operates, for the journal; None for a reader."""
    by_token = _is_token(st.session_state.get(TOKEN, ""))
    if by_token:
        return str(st.session_state.get(NAME) or "operator") + " (dashboard)"
    return _by_oidc()


def entrance() -> None:
    """Draw the way in, where there is one, and what was done last."""
    if st.session_state.get(DONE):
        st.toast(escape(st.session_state.pop(DONE)), icon="✅")
    if not configured():
        return
    operator = signed_in()
    with st.popover("Operator" if operator is None else f"Operator: {escape(operator)}", width="content"):
        if operator is not None:
            st.markdown("You can promote, roll back, ramp and stop experiments and write notes.")
            st.button("Sign out", key="sign out", on_click=_sign_out)
            return
        if "auth" in _secrets():
            st.button("Sign in with your account", key="sign in", on_click=st.login)
        if os.environ.get(VARIABLE):
            with st.form("operator", border=False):
                name = st.text_input("Your name, for the journal")
                token = st.text_input("Operator token", type="password", autocomplete="off")
                if st.form_submit_button("Sign in"):
                    _sign_in(name, token)


def on_experiment(home: Home, record: Record) -> None:
    """Draw what an operator may do with an experiment."""
    operator = signed_in()
    if operator is None:
        return
    key, decision = record.definition.experiment.key, record.decision
    with st.container(horizontal=True):
        if decision is not None and decision.verdict == "ship" and decision.winner is not None:
            with st.popover(f"Promote {escape(decision.winner)} …"):
                st.markdown(
                    f"{escape(decision.winner)} becomes champion of {escape(record.definition.model)}: it serves "
                    "everybody from then on. A rollback takes it back."
                )
                _confirmed("Promote", "promote", lambda: _promote(home, record, operator))
        if record.definition.experiment.status in ("draft", "running"):
            if record.definition.experiment.traffic < 1:
                ramp(home, record, operator)
            with st.popover("Stop the experiment …"):
                reason = st.text_input("Why", key="stop reason")
                _confirmed("Stop", "stop", lambda: _stop(home, key, operator, reason))
        with st.popover("Add a note …"):
            text = st.text_area("Note", key="note text", max_chars=2_000)
            if st.button("Keep the note", key="note"):
                _act(lambda: _note(home, key, operator, text))


def ramp(home: Home, record: Record, operator: str) -> None:
    """Draw the way to more traffic."""
    experiment = record.definition.experiment
    with st.popover("Ramp up …"):
        now = round(100 * experiment.traffic, 1)
        st.markdown(
            f"Now {now:g}% of the units take part. Whoever takes part stays in the same variant; the variants keep "
            "their shares. Traffic only grows: to take less, stop the experiment."
        )
        share = st.number_input("Share of units, in %", now, 100.0, min(2 * now, 100.0), 1.0, key="ramp share")
        _confirmed("Ramp up", "ramp", lambda: _ramp(home, experiment.key, share / 100.0, operator))


def rollback(home: Home, slots: "Slots") -> None:
    """Draw the way back to the champion before, where there is one."""
    operator = signed_in()
    if operator is None or slots.previous is None:
        return
    with st.popover(f"Roll {escape(slots.model)} back to v{slots.previous} …"):
        st.markdown(f"v{slots.previous} serves everybody again, instead of v{slots.champion}.")
        reason = st.text_input("Why", key=f"rollback reason {slots.model}")
        _confirmed("Roll back", f"rollback {slots.model}", lambda: _roll_back(home, slots, operator, reason))


def _confirmed(label: str, key: str, action: Callable[[], str]) -> None:
    sure = st.checkbox("Yes, I am sure", key=f"{key} sure")
    if st.button(label, key=key, disabled=not sure, type="primary") and sure:
        _act(action)


def _act(action: Callable[[], str]) -> None:
    """Do it, if the operator still is one; then show everything anew. What is refused stands as a sentence."""
    if signed_in() is None:
        st.error("You are not signed in as an operator any more.")
        return
    try:
        done = action()
    except Exception as refused:
        if not (isinstance(refused, ValueError | LookupError | OSError) or hasattr(refused, "exit_code")):
            raise
        st.error(escape(str(refused)))
        return
    st.session_state[DONE] = done
    queries.refresh()
    st.rerun()


def _promote(home: Home, seen: Record, by: str) -> str:
    from experiments.promote import promote
    from experiments.registry import Registry

    now = ExperimentStore(home).record(seen.definition.experiment.key)
    if now.decision != seen.decision:
        raise ValueError("the decision has changed since this page was read; refresh it and look again")
    event = promote(now.definition, now.decision, Registry(home), at=_now(), by=by)
    return f"v{event.version} is champion of {event.model}."


def _roll_back(home: Home, seen: "Slots", by: str, reason: str) -> str:
    from experiments.promote import rollback as take_back
    from experiments.registry import Registry

    registry = Registry(home)
    if registry.slots(seen.model).champion != seen.champion:
        raise ValueError("the champion has changed since this page was read; refresh it and look again")
    event = take_back(seen.model, registry, at=_now(), by=by, reason=reason)
    return f"v{event.version} is champion of {event.model} again."


def _ramp(home: Home, key: str, traffic: float, by: str) -> str:
    from experiments.lifecycle import ramp as widen

    widen(home, key, traffic, at=_now(), by=by)
    return f"{key} takes {percent(traffic, 0)} of the units now."


def _stop(home: Home, key: str, by: str, reason: str) -> str:
    from experiments.lifecycle import stop

    stop(home, key, at=_now(), by=by, reason=reason)
    return f"{key} is stopped."


def _note(home: Home, key: str, by: str, text: str) -> str:
    from experiments.notes import Note, Notes

    Notes(home).add(key, Note(at=_now(), by=by, text=text.strip()))
    return "The note is kept."


def _sign_in(name: str, token: str) -> None:
    if not _is_token(token):
        time.sleep(PAUSE)  # guessing must not be fast
        st.error("This is not the operator token.")
        return
    st.session_state[NAME], st.session_state[TOKEN] = name.strip(), token
    st.rerun()


def _sign_out() -> None:
    for key in (NAME, TOKEN):
        st.session_state.pop(key, None)
    if _by_oidc() is not None:
        st.logout()


def _is_token(given: str) -> bool:
    expected = os.environ.get(VARIABLE, "")
    # in constant time: how long a wrong token takes must not tell how much of it was right
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def _by_oidc() -> str | None:
    if "auth" not in _secrets() or not st.user.get("is_logged_in"):
        return None
    address = str(st.user.get("email") or "")
    return address if address and address in _secrets().get("operators", {}).get("emails", []) else None


def _secrets() -> dict[str, Any]:
    """The secrets; none where there is no file of them, which Streamlit answers with an error."""
    try:
        return dict(st.secrets.to_dict())
    except FileNotFoundError:
        return {}


def _now() -> datetime:
    return datetime.now(UTC)

"""The arguments of optimizers, which tf.keras wrote anew for 2.11, with other meanings: as read, and as written.

Keras 2 scales all gradients together by ``clipnorm``, later versions each alone, and call that of all together
``global_clipnorm``. Keras 2 has ``decay``, later versions a schedule ``InverseTimeDecay`` as the learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.common.errors import KCompileError
from kcompile.objects.dialects.tables import Generation

CLIPS = {"clipnorm_each": "clipnorm", "clipnorm": "global_clipnorm"}
"""Our names (those of Keras 2), and what later versions call the same."""

OWN = ("schedule_decay", "epsilon_in_root")
"""What later versions have no argument for."""

SCHEDULE = "InverseTimeDecay"
KERAS_2_NADAM = 0.004
"""``schedule_decay`` where nothing else is said."""

# ---- reading


def in_ours(name: str, config: dict[str, Any], generation: Generation) -> None:
    """Change arguments of one version into those that mean the same here.

    Raises:
        ValueError: a schedule that no ``decay`` stands for.
    """
    if generation not in (Generation.TF_KERAS, Generation.KERAS_3):
        return
    if config.get("clipnorm") is not None:
        config["clipnorm_each"] = config.pop("clipnorm")
    schedule = config.get("learning_rate")
    if isinstance(schedule, Mapping) and schedule.get("class_name") == SCHEDULE:
        config.update(_decay_of(schedule.get("config")))
    legacy = generation is Generation.TF_KERAS and config.pop("is_legacy_optimizer", True)
    if name.lower() == "nadam":
        config.setdefault("schedule_decay", config.pop("decay", KERAS_2_NADAM) if legacy else 1.0)
    if name.lower() in ("rmsprop", "adagrad") and not legacy:
        config.setdefault("epsilon_in_root", True)


def _decay_of(schedule: Any) -> dict[str, Any]:
    if not isinstance(schedule, Mapping) or schedule.get("staircase") or not schedule.get("decay_steps"):
        raise KCompileError(f"the learning rate schedule {SCHEDULE} with staircase=True is not supported")
    rate = schedule.get("decay_rate", 0.0) / schedule["decay_steps"]
    return {"learning_rate": schedule.get("initial_learning_rate"), "decay": rate}


# ---- writing


def in_theirs(config: Mapping[str, Any], is_3: bool) -> dict[str, Any]:
    """Our arguments as those of the optimizers of Keras 3, or of tf.keras since 2.11.

    What those cannot say (:data:`OWN`) is left out; we have a copy of our own.
    """
    new = {key: value for key, value in config.items() if key not in (*OWN, *CLIPS, "decay")}
    new |= {theirs: config[ours] for ours, theirs in reversed(CLIPS.items()) if ours in config}
    if decay := config.get("decay"):
        arguments = {
            "initial_learning_rate": config["learning_rate"],
            "decay_steps": 1,
            "decay_rate": decay,
            "staircase": False,
            "name": SCHEDULE,
        }
        schedule = {"module": "keras.optimizers.schedules", "class_name": SCHEDULE, "registered_name": None}
        new["learning_rate"] = {**schedule, "config": arguments}
    if not is_3:
        new["is_legacy_optimizer"] = False
    return new


# ---- in HDF5, whose words all versions read

_BESIDE = ("clipnorm_each", "epsilon_in_root")


def for_all(config: Mapping[str, Any], is_nadam: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our arguments in the words that mean the same to later versions of Keras; and what only we can say."""
    new = dict(config)
    own = {key: new.pop(key) for key in _BESIDE if key in new}
    if "clipnorm_each" in own:
        new["clipnorm"] = own["clipnorm_each"]
    elif new.get("clipnorm") is not None and new.get("global_clipnorm") is None:
        new["global_clipnorm"] = new.pop("clipnorm")
    if is_nadam and new["schedule_decay"] == KERAS_2_NADAM:
        new["decay"] = new.pop("schedule_decay")  # which Keras 3 takes, and ignores
    return new, own


def from_all(name: str, config: Any, own: Any) -> Any:
    """The inverse of :func:`for_all`, whose results were stored; of files of others ``own`` is missing."""
    if not isinstance(config, Mapping):
        return config
    if name == "Nadam" and "decay" in config and "schedule_decay" not in config:
        config = {"schedule_decay" if key == "decay" else key: value for key, value in config.items()}
    if isinstance(own, Mapping):
        dropped = {"clipnorm"} if "clipnorm_each" in own else set()
        config = {**{key: value for key, value in config.items() if key not in dropped}, **own}
    return config

"""Who may have written what the model learns from, and under which license."""

from fnmatch import fnmatchcase

from components.sft.examples import Rejected
from components.sft.settings import SftSettings
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import Conversation


def refuse(conversation: Conversation, config: SftSettings) -> Rejected | None:
    """The refusal, or None where the record may be used."""
    verdict = judge(conversation.generator, conversation.license, config)
    if verdict is None:
        return None
    reason, detail = verdict
    if config.on_forbidden == "stop":
        raise KajiyaError(
            f"{conversation.where}: {reason}: {detail}. Take the record out, or set `sft.on_forbidden: drop` "
            "to leave such records out."
        )
    return Rejected.of(conversation, reason, detail)


def judge(generator: str, license_name: str, config: SftSettings) -> tuple[str, str] | None:
    """(reason, detail) of a refusal; None: allowed."""
    # "openai/gpt-4" is gpt-4 too, whoever's account stands before it.
    bare = generator.rpartition("/")[2]
    if pattern := _match(generator, config.forbidden_generators) or _match(bare, config.forbidden_generators):
        return f"forbidden_generator:{generator}", f"matches {pattern} of forbidden_generators"
    if config.allowed_generators is not None and not _match(generator, config.allowed_generators):
        return f"forbidden_generator:{generator}", "not among allowed_generators"
    if config.allowed_licenses is not None and not _match(license_name, config.allowed_licenses):
        return f"forbidden_license:{license_name}", "not among allowed_licenses"
    return None


def _match(name: str, patterns: tuple[str, ...]) -> str | None:
    lowered = name.strip().lower()
    return next((pattern for pattern in patterns if fnmatchcase(lowered, pattern.lower())), None)

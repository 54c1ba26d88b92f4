"""What a web server says of when to come back, and of how much there is."""

import datetime
import email.utils
import re


def retry_after_seconds(header: str | None) -> float | None:
    """Retry-After as seconds from now: it comes as a number or as an HTTP date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    if (seconds := whole_number(header)) is not None:
        return float(seconds)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())


def whole_number(header: str | None) -> int | None:
    """A count as headers state it: ASCII digits (`str.isdigit` takes `²` too), and not thousands of them."""
    return int(header) if header and re.fullmatch(r"\s*[0-9]{1,18}\s*", header) else None

"""What the demo models say: a text that depends on the model's name and never on time or chance."""

from typing import Final

FRIENDLY: Final = (
    "Hello from the demo upstream. Your request passed the gateway: it was identified, inspected and "
    "counted; this answer is inspected on its way back to you. Nothing here comes from a model, so the "
    "same question always gets the same answer. Try the model demo-pii to watch personal data disappear."
)

# Every value below is a published test value: card numbers of the card schemes' sandboxes, IBANs from the
# registry's examples, addresses of RFC 5737 and RFC 3849, key forms from the vendors' own documentation.
PII: Final = (
    "Of course. Write to ada.lovelace@example.com or to o'brien+billing@mail.example.co.uk. "
    "The card 4111 1111 1111 1111 was charged, then 5555-5555-5555-4444 and 378282246310005. "
    "Please pay to DE89 3704 0044 0532 0130 00 or to GB82WEST12345698765432. "
    "The server is 203.0.113.7, its IPv6 address 2001:db8:85a3::8a2e:370:7334. "
    "The keys are AKIA" + "IOSFODNN7EXAMPLE, gh" + "p_16C7e42F292c6912E7710c838347Ae178B4a and sk-pro"
    "j-T3BlbkFJ0000demo1111demo2222demo3333demo4444. That is all that I know."
)

CODE: Final = (
    "Here is a small client:\n\n```python\nimport urllib.request\n\n"
    'URL = "https://api.example.com/v1/items?limit=10#top"\n\n\n'
    "def fetch(url: str = URL) -> bytes:\n"
    '    """Read more at http://docs.example.org/client."""\n'
    "    with urllib.request.urlopen(url, timeout=5) as answer:\n"
    "        return answer.read()\n```\n\n"
    "See [the manual](https://docs.example.org/manual) and ![a picture](https://img.example.net/p.png?q=secret)."
)

#: Each of these is an e-mail address, so a client that reads one has read text that no guard has seen.
CANARY: Final = " ".join(f"canary-{number:03d}@leak.example" for number in range(64))

_FIXED: Final = {"demo-pii": PII, "demo-code": CODE, "demo-canary": CANARY}

#: Listed by /v1/models; unknown names are served too, with the friendly answer.
MODELS: Final = (
    "demo", "demo-echo", "demo-mirror", "demo-pii", "demo-code", "demo-canary", "demo-slow", "demo-embed",
)  # fmt: skip


def say(model: str, last_user_text: str, body: bytes) -> str:
    """The answer text. `demo-echo` repeats what the user said, `demo-mirror` the whole body as it arrived."""
    if model == "demo-echo":
        return last_user_text
    if model == "demo-mirror":
        return body.decode("utf-8", "replace")
    return _FIXED.get(model, FRIENDLY)
